// Run in a page of the site by pdf.py: its article, made fit to stand in one document with the others.
({ site, address, anchors, anchor }) => {
  const article = document.querySelector("article.bd-article");
  const inside = (id) => `${anchor}--${id}`;

  // Drawings become pictures, and scripts have done their work.
  for (const canvas of article.querySelectorAll("canvas")) {
    const image = new Image();
    image.src = canvas.toDataURL();
    image.style.cssText = canvas.style.cssText;
    image.alt = canvas.getAttribute("aria-label") || canvas.textContent.trim();
    canvas.replaceWith(image);
  }
  article.querySelectorAll("script, .headerlink, .copybtn, .katex-mathml").forEach((node) => node.remove());
  for (const words of article.querySelectorAll(".cell_output [lang]"))
    if (getComputedStyle(words).display === "none") words.remove(); // the other language
  article.querySelectorAll("details").forEach((node) => (node.open = true));
  for (const image of article.querySelectorAll("img")) {
    image.src = image.src; // a whole address
    image.loading = "eager";
  }

  // Links between pages become links within the document; what is not printed is on the web, and so is a setting
  // of the playground, whose link has a question mark in its fragment.
  for (const link of article.querySelectorAll("a[href]")) {
    const [file, fragment] = link.href.split("#");
    if (!file.startsWith(site)) continue;
    const path = file.slice(site.length).split("?")[0];
    const target = anchors[path];
    if (target && !fragment?.includes("?")) link.setAttribute("href", fragment ? `#${target}--${fragment}` : `#${target}`);
    else link.href = new URL(link.href.slice(site.length), address).href;
  }
  for (const node of article.querySelectorAll("[id]")) node.id = inside(node.id);
  for (const name of ["for", "aria-labelledby", "aria-describedby"])
    for (const node of article.querySelectorAll(`[${name}]`))
      node.setAttribute(name, node.getAttribute(name).split(/\s+/).map(inside).join(" "));

  // A chapter stands below its part, and each heading looks as it did.
  const title = article.querySelector("h1").textContent.trim();
  for (let level = 5; level >= 1; level--)
    for (const heading of article.querySelectorAll(`h${level}`)) {
      const lower = document.createElement(`h${level + 1}`);
      lower.className = `h${level}`;
      lower.append(...heading.childNodes);
      heading.replaceWith(lower);
    }
  const styles = [...document.querySelectorAll("link[rel=stylesheet]")].map((link) => link.href);
  return { title, article: article.innerHTML, styles };
}
