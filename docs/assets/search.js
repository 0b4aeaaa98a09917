// The search reads a leading "-" as "without": take it away, so that a flag is found as it is written.
document.addEventListener("input", ({ target }) => {
  if (target.matches(".md-search__input")) target.value = target.value.replace(/(^|\s)-+/g, "$1");
}, true);
