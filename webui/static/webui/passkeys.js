// Show a message if the browser's passkey dialog fails or is cancelled.
"use strict";

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const place = document.getElementById("passkey-problem");
  if (place) place.hidden = false;
});
