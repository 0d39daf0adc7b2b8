// A card that is chosen, by mouse or by keyboard, is told to the server.
element.addEventListener("change", event => trigger("choose", {name: event.target.value}));
