// The buttons that copy a citation, and the day on which it is made.
document.addEventListener("click", async (event) => {
  const button = event.target.closest(".citation button");
  if (!button) return;
  const text = button.parentElement.querySelector("pre");
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch {
    getSelection().selectAllChildren(text); // no leave to copy: Ctrl-C does the rest
    return;
  }
  const words = button.textContent;
  button.textContent = document.querySelector("#take-away [role=status]").textContent = button.dataset.copied;
  button.disabled = true;
  setTimeout(() => {
    button.textContent = words;
    button.disabled = false;
  }, 1500);
});

// Sphinx keeps the Escape key to itself, with which a browser would close the menu.
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") document.querySelector(".take-away:popover-open")?.hidePopover();
});

addEventListener("DOMContentLoaded", () => {
  const today = new Intl.DateTimeFormat("sv").format(new Date()); // 2026-11-21
  for (const text of document.querySelectorAll(".citation pre")) text.textContent = text.textContent.replace("引用日期", today);
});

// From a folder the search cannot read the pages that it finds: their titles are enough. A browser does not save a file
// that it can show: the notebook opens beside the page.
if (location.protocol === "file:") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
  addEventListener("DOMContentLoaded", () => document.querySelector(".take-away a[download]")?.setAttribute("target", "_blank"));
}
