/* The lab: images that are dropped or pasted, and a canvas whose drawing the network follows. */
(function () {
  "use strict";

  /* A file that is dropped on the page or pasted goes the way of the chosen one. */
  function take(form) {
    var input = form.querySelector("input[type=file]");
    function give(files) {
      if (!files || !files.length) return;
      input.files = files;
      form.requestSubmit();
    }
    document.addEventListener("dragover", function (event) {
      event.preventDefault();
      document.body.classList.add("dropping");
    });
    document.addEventListener("dragleave", function (event) {
      if (!event.relatedTarget) document.body.classList.remove("dropping");
    });
    document.addEventListener("drop", function (event) {
      event.preventDefault();
      document.body.classList.remove("dropping");
      give(event.dataTransfer.files);
    });
    document.addEventListener("paste", function (event) { give(event.clipboardData.files); });
  }

  function draw(root) {
    var canvas = root.querySelector("canvas");
    var pen = canvas.getContext("2d");
    var form = document.querySelector("[data-drop]");
    var down = false, busy = false, again = false;

    function wipe() {
      pen.fillStyle = "#000";
      pen.fillRect(0, 0, canvas.width, canvas.height);
    }

    /* One drawing is on its way at a time; the last one is never left out. */
    function follow() {
      if (busy) { again = true; return; }
      busy = true;
      canvas.toBlob(function (blob) {
        var data = new FormData();
        data.append("proof", form.elements.proof.value);
        data.append("model", form.elements.model.value);
        data.append("image", blob, "drawing.png");
        fetch(form.action, { method: "POST", body: data, headers: { "HX-Request": "true" } })
          .then(function (response) { return response.text(); })
          .then(function (html) {
            var look = document.getElementById("look");
            look.innerHTML = html;
            window.htmx.process(look);
          })
          .catch(function () {})
          .finally(function () {
            busy = false;
            if (again) { again = false; follow(); }
          });
      }, "image/png");
    }

    function at(event) {
      var box = canvas.getBoundingClientRect();
      return [(event.clientX - box.left) * canvas.width / box.width, (event.clientY - box.top) * canvas.height / box.height];
    }

    pen.lineWidth = 20;
    pen.lineCap = pen.lineJoin = "round";
    pen.strokeStyle = "#fff";
    wipe();
    root.hidden = false;
    canvas.addEventListener("pointerdown", function (event) {
      down = true;
      canvas.setPointerCapture(event.pointerId);
      var place = at(event);
      pen.beginPath();
      pen.moveTo(place[0], place[1]);
      pen.lineTo(place[0] + .01, place[1]);
      pen.stroke();
      follow();
    });
    canvas.addEventListener("pointermove", function (event) {
      if (!down) return;
      var place = at(event);
      pen.lineTo(place[0], place[1]);
      pen.stroke();
      follow();
    });
    ["pointerup", "pointercancel"].forEach(function (name) {
      canvas.addEventListener(name, function () { down = false; });
    });
    root.querySelector("button").addEventListener("click", wipe);
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-drop]").forEach(take);
    document.querySelectorAll("[data-draw]").forEach(draw);
  });
})();
