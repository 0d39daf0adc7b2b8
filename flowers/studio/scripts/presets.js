// A card that is chosen, by mouse or by keyboard, is told to the server: once, also when the cards are drawn anew.
let told = element.querySelector("input:checked")?.value;
element.addEventListener("change", event => {
  if (event.target.value === told) return;
  told = event.target.value;
  trigger("choose", {name: told});
});
