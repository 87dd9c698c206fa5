"use strict";

// A message is rendered when somebody opens it: it reads a snapshot. What comes back is a page of
// ours, escaped by the server; scripts in it would not run.
document.addEventListener("toggle", async (event) => {
  const details = event.target;
  if (!details.open || !details.dataset || !details.dataset.loads) return;
  const place = details.querySelector(".loaded");
  const address = details.dataset.loads;
  delete details.dataset.loads;
  try {
    const answer = await fetch(address, { headers: { Accept: "text/html" } });
    const read = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = answer.ok ? read.body : read.querySelector("main");
    place.replaceChildren(...part.childNodes);
  } catch (refused) {
    details.dataset.loads = address; // closing and opening it tries again
    place.textContent = "The server did not answer. Close this and open it again.";
  }
}, true);
