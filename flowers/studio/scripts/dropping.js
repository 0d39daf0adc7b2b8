// Folders that are dropped are read through: Gradio would send each as if it were a file, and fail.
{
  const MOST = 6000; // files: somewhat more than any tab takes, so that the server can tell

  const files = (entry) => new Promise((done, fail) => entry.file(done, fail));
  const inside = (reader) => new Promise((done, fail) => reader.readEntries(done, fail));

  async function walk(entry, found) {
    if (entry.name.startsWith(".") || found.length >= MOST) return;
    if (entry.isFile) {
      found.push({ file: await files(entry), path: entry.fullPath.slice(1) });
      return;
    }
    const reader = entry.createReader();
    for (let some = await inside(reader); some.length; some = await inside(reader)) // a hundred at a time
      for (const one of some) await walk(one, found);
  }

  // All files in what was dropped, each with its path; null where no folder was. Call it while the event is handled.
  window.droppedFolders = (transfer) => {
    const entries = [...(transfer?.items ?? [])].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    if (!entries.some((entry) => entry.isDirectory)) return null;
    return (async () => {
      const found = [];
      for (const entry of entries) await walk(entry, found);
      return found;
    })();
  };

  window.putFiles = (input, files) => {
    const box = new DataTransfer();
    files.forEach((file) => box.items.add(file));
    input.files = box.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // On Photos, the folders' names are the classes': the paths go along, in the order of the files.
  document.addEventListener("drop", async (event) => {
    const zone = event.target.closest?.("#photos-adding");
    const folders = zone && droppedFolders(event.dataTransfer);
    if (!folders) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    event.target.dispatchEvent(new DragEvent("drop", { bubbles: true })); // nothing dropped: the zone looks idle again
    const found = await folders;
    const places = zone.querySelector("#photos-places textarea");
    places.value = JSON.stringify(found.map(({ path }) => path));
    places.dispatchEvent(new Event("input", { bubbles: true }));
    putFiles(zone.querySelector("#photos-files input[type=file]"), found.map(({ file }) => file));
  }, true);
}
