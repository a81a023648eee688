// Says on the page what a browser's passkey dialog ended with, when it did not end well.
"use strict";

document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  const place = document.getElementById("passkey-problem");
  if (place) place.hidden = false;
});
