// Paper is light, and a formula that is wider than it is made smaller: see print.css.
const LINE = 43; // what a line of paper holds, in ems of its text

function widthInEms(formula) {
  const range = document.createRange();
  range.selectNodeContents(formula.querySelector(".katex-html"));
  return range.getBoundingClientRect().width / parseFloat(getComputedStyle(formula).fontSize);
}

addEventListener("beforeprint", () => {
  const root = document.documentElement;
  root.dataset.screenTheme = root.dataset.theme || "";
  root.dataset.theme = "light";
  for (const formula of document.querySelectorAll(".formula"))
    formula.style.setProperty("--fit", Math.min(1, LINE / widthInEms(formula)));
});

addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = document.documentElement.dataset.screenTheme;
});
