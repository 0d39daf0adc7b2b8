// A card that is chosen, by mouse or by keyboard, is told to the server: once, also when the cards are drawn anew. Of
// several chosen at once the last alone is told, for on their way to the server they might overtake each other.
let told = element.querySelector("input:checked")?.value;
let telling;
element.addEventListener("change", event => {
  if (event.target.value === told) return;
  told = event.target.value;
  clearTimeout(telling);
  telling = setTimeout(() => trigger("choose", {name: told}));
});
