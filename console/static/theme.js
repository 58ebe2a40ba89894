// Applies the theme that the user chose before, ahead of the first paint.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* private windows may have no storage */ }
