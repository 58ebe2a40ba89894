"""How networks run: devices, number formats, fused layers, image pyramids."""
