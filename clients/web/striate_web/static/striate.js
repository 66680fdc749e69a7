/* Pictures on their way: grids that fill, and a picture that grows. No page needs this file to be read. */
(function () {
  "use strict";

  function say(root, text) {
    var status = root.querySelector(".status");
    if (status) status.textContent = text;
  }

  /* Opens a stream that ends with "done" or "failed"; a page that is left closes it. */
  function listen(root, address, handlers) {
    var source = new EventSource(address);
    Object.keys(handlers).forEach(function (name) {
      source.addEventListener(name, function (event) {
        handlers[name](JSON.parse(event.data));
      });
    });
    source.addEventListener("done", function () {
      source.close();
      if (!handlers.result) say(root, "");
    });
    source.addEventListener("failed", function (event) {
      source.close();
      say(root, JSON.parse(event.data).message);
    });
    source.onerror = function () {
      source.close();
      say(root, "The stream of pictures broke off: load the page anew.");
    };
    window.addEventListener("pagehide", function () { source.close(); });
  }

  function picture(src, size, alt) {
    var image = new Image(size, size);
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = alt;
    image.src = src;
    return image;
  }

  function fill(root) {
    var waiting = root.querySelectorAll("[data-cell]").length;
    var come = root.querySelectorAll("[data-cell] > img").length;
    if (come === waiting) return;
    say(root, "Pictures come as the server makes them: " + come + " of " + waiting + ".");
    listen(root, root.dataset.stream, {
      picture: function (found) {
        var cell = root.querySelector('[data-cell="' + found.cell + '"]');
        if (!cell || cell.querySelector("img")) return;
        cell.replaceChildren(picture(found.src, 96, ""));
        if (found.dead) cell.classList.add("dead");
        come += 1;
        say(root, "Pictures come as the server makes them: " + come + " of " + waiting + ".");
      },
    });
  }

  function grow(root) {
    var lens = root.querySelector(".lens");
    var bar = root.querySelector("progress");
    var image = null;
    function show(src) {
      if (!image) {
        image = picture(src, 384, "The picture as it grows");
        image.loading = "eager";
        lens.replaceChildren(image);
      }
      image.src = src;
    }
    say(root, "Waiting for the server.");
    listen(root, root.dataset.grow, {
      step: function (found) {
        if (found.src) show(found.src);
        bar.max = found.steps;
        bar.value = found.step;
        say(root, "Step " + found.step + " of " + found.steps + ", activation " + found.score);
      },
      result: function (found) {
        show(found.src);
        image.alt = "The picture that excites the unit most";
        bar.remove();
        say(root, "Grown.");
        document.getElementById("certificate").innerHTML = found.html;
      },
    });
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("[data-stream]").forEach(fill);
    document.querySelectorAll("[data-grow]").forEach(grow);
    document.addEventListener("click", function (event) {
      var link = event.target.closest ? event.target.closest("[data-busy]") : null;
      if (link) {
        say(link.closest("section"), "Measuring; this takes some seconds.");
        link.setAttribute("aria-disabled", "true");
      }
    });
    document.addEventListener("keydown", function (event) {
      if (event.altKey || event.ctrlKey || event.metaKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
      var rel = { ArrowLeft: "prev", ArrowRight: "next" }[event.key];
      var link = rel && document.querySelector('a[rel="' + rel + '"]');
      if (link) link.click();
    });
  });
})();
