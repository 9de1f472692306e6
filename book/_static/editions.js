// The switch keeps the place on the page and the question of the search page,
// and remembers the choice for the front page.
document.addEventListener("click", (event) => {
  const link = event.target.closest(".edition-switch a");
  if (!link) return;
  link.search = location.search;
  link.hash = location.hash;
  try {
    localStorage.setItem("edition", link.dataset.edition);
  } catch {
    // A browser that stores nothing still switches.
  }
});
