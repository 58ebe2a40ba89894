// Before the first paint: the theme that was chosen here earlier.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
} catch { /* private windows keep nothing */ }
