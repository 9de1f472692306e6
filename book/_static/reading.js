// What the theme does not do for readers without a mouse.

// Code in a fold that opens may have to be scrolled: the theme looks for such code when the window changes.
document.addEventListener("toggle", () => dispatchEvent(new Event("resize")), true);
