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

addEventListener("DOMContentLoaded", () => {
  const today = new Intl.DateTimeFormat("sv").format(new Date()); // 2026-11-21
  for (const text of document.querySelectorAll(".citation pre")) text.textContent = text.textContent.replace("引用日期", today);
});

// From a folder the search cannot read the pages that it finds: their titles are enough.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
