/* The drawing of the run: where the pointer, the keys, two fingers and the search lead. Called by run.js. */
function drawGraph(all, reached, models) {
  "use strict";
  var svg = document.querySelector("svg.graph");
  if (!svg) return;
  var box = svg.parentNode, nodes = all(".n", svg), lines = all(".edges path", svg), said = document.getElementById("graph-said");
  var names = nodes.map(function (node) { return node.getAttribute("data-n"); });
  var up = nodes.map(function () { return []; }), down = nodes.map(function () { return []; });
  lines.forEach(function (line) {
    line.a = +line.getAttribute("data-a");
    line.b = +line.getAttribute("data-b");
    down[line.a].push(line.b);
    up[line.b].push(line.a);
  });
  var reach = function (at, way, found) {
    var waiting = [at];
    while (waiting.length) way[waiting.pop()].forEach(function (next) {
      if (!found[next]) { found[next] = true; waiting.push(next); }
    });
    return found;
  };

  /* What is lit: for a moment under the pointer, else what somebody chose (a failure, a status, words). */
  var chosen = null;
  var show = function (on, between) {
    svg.classList.toggle("lit", Boolean(on));
    if (!on) return;
    nodes.forEach(function (node, i) { node.classList.toggle("on", Boolean(on[i])); });
    lines.forEach(function (line) { line.classList.toggle("on", Boolean(between(line))); });
  };
  var around = function (at) {
    var above = reach(at, up, {}), below = reach(at, down, {});
    above[at] = below[at] = true;
    return [Object.assign({}, above, below), function (line) { return (above[line.a] && above[line.b]) || (below[line.a] && below[line.b]); }];
  };
  var rest = function () { if (chosen) show(chosen[0], chosen[1]); else show(null); };
  var choose = function (on, words) {
    chosen = on && [on, function (line) { return on[line.a] && on[line.b]; }];
    rest();
    said.textContent = words || "";
  };

  /* Zoom */
  var width = svg.viewBox.baseVal.width, height = svg.viewBox.baseVal.height, scale = 1;
  var zoom = function (to, x, y) {
    to = Math.min(2.5, Math.max(0.15, to));
    var across = (box.scrollLeft + x) / scale, along = (box.scrollTop + y) / scale;
    scale = to;
    svg.setAttribute("width", width * scale);
    svg.setAttribute("height", height * scale);
    box.scrollLeft = across * scale - x;
    box.scrollTop = along * scale - y;
  };
  var fit = function () { return Math.min(1, box.clientWidth / width); };
  var act = { "+": function () { return scale * 1.25; }, "=": function () { return scale * 1.25; }, "-": function () { return scale * 0.8; }, "0": fit };
  var middle = function (way) { zoom(act[way](), box.clientWidth / 2, box.clientHeight / 2); };
  all("[data-zoom]").forEach(function (button) {
    button.addEventListener("click", function () { middle(button.getAttribute("data-zoom")); });
  });
  box.addEventListener("wheel", function (event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    var at = box.getBoundingClientRect();
    zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - at.left, event.clientY - at.top);
  }, { passive: false });

  /* Two fingers: how far apart they are, and where their middle is. */
  var pinch = null;
  var fingers = function (event) {
    var a = event.touches[0], b = event.touches[1], at = box.getBoundingClientRect();
    return { apart: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY), x: (a.clientX + b.clientX) / 2 - at.left, y: (a.clientY + b.clientY) / 2 - at.top };
  };
  box.addEventListener("touchstart", function (event) {
    if (event.touches.length === 2) { event.preventDefault(); pinch = { from: fingers(event).apart, scale: scale }; }
  }, { passive: false });
  box.addEventListener("touchmove", function (event) {
    if (!pinch || event.touches.length !== 2) return;
    event.preventDefault();
    var now = fingers(event);
    zoom(pinch.scale * now.apart / pinch.from, now.x, now.y);
  }, { passive: false });
  box.addEventListener("touchend", function () { pinch = null; });

  /* Drag with the mouse */
  var from = null;
  box.addEventListener("pointerdown", function (event) {
    if (event.pointerType === "mouse" && event.button === 0) from = [event.clientX + box.scrollLeft, event.clientY + box.scrollTop];
  });
  window.addEventListener("pointermove", function (event) {
    if (!from) return;
    box.classList.add("drag");
    box.scrollLeft = from[0] - event.clientX;
    box.scrollTop = from[1] - event.clientY;
  });
  window.addEventListener("pointerup", function () { from = null; box.classList.remove("drag"); });

  /* Keys: one stop for the Tab key, then arrows. */
  var current = 0;
  var goTo = function (at) {
    var place = nodes[at].transform.baseVal.getItem(0).matrix;
    box.scrollLeft = place.e * scale - box.clientWidth / 3;
    box.scrollTop = place.f * scale - box.clientHeight / 2;
  };
  var stop = function (to) {
    nodes[current].setAttribute("tabindex", "-1");
    current = to;
    nodes[to].setAttribute("tabindex", "0");
  };
  var step = function (to) {
    stop(to);
    nodes[to].focus({ preventScroll: true });
    nodes[to].scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  var beside = function (at, way) {
    var here = nodes[at].getBoundingClientRect(), best = -1, least = Infinity;
    nodes.forEach(function (node, i) {
      var there = node.getBoundingClientRect();
      if (i === at || Math.abs(there.left - here.left) > 4 || (there.top - here.top) * way <= 0) return;
      if (Math.abs(there.top - here.top) < least) { least = Math.abs(there.top - here.top); best = i; }
    });
    return best;
  };
  nodes.forEach(function (node, at) {
    var open = function () { if (models && !node.classList.contains("none")) models.find(names[at]); };
    var look = function () { if (!from) show.apply(null, around(at)); };
    node.addEventListener("pointerenter", look);
    node.addEventListener("pointerleave", rest);
    node.addEventListener("focus", look);
    node.addEventListener("blur", rest);
    node.addEventListener("click", function () {
      stop(at);
      choose(around(at)[0], names[at] + ": what it stands on and what stands on it");
    });
    node.addEventListener("dblclick", open);
    node.addEventListener("keydown", function (event) {
      var to = { ArrowRight: down[at][0], ArrowLeft: up[at][0], ArrowDown: beside(at, 1), ArrowUp: beside(at, -1) }[event.key];
      if (event.key === "Enter") open();
      else if (event.key === "Escape") { choose(null); box.focus(); }
      else if (event.key.indexOf("Arrow") !== 0) return;
      else if (to !== undefined && to >= 0) step(to);
      event.preventDefault();
    });
  });
  box.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (act[event.key]) { middle(event.key); event.preventDefault(); }
    else if (event.key === "Escape") choose(null);
  });

  /* Find by name */
  var input = document.getElementById("graph-q"), found = [], place = -1;
  var count = function (number) { return number + (number === 1 ? " node" : " nodes"); };
  input.addEventListener("input", function () {
    var words = input.value.toLowerCase().split(/\s+/).filter(Boolean), on = {};
    found = [];
    nodes.forEach(function (node, at) {
      var name = names[at].toLowerCase();
      if (words.length && words.every(function (word) { return name.indexOf(word) >= 0; })) { found.push(at); on[at] = true; }
    });
    place = 0;
    choose(words.length ? on : null, words.length ? count(found.length) + " found" : "");
    if (found.length) goTo(found[0]);
  });
  input.addEventListener("keydown", function (event) {
    if (event.key === "Escape") { input.value = ""; choose(null); }
    if (event.key !== "Enter" || !found.length) return;
    event.preventDefault();
    place = event.shiftKey ? (place || found.length) - 1 : (place + 1) % found.length;
    goTo(found[place]);
    stop(found[place]);
    said.textContent = names[found[place]] + ", " + (place + 1) + " of " + found.length;
  });

  /* The keys of the legend show one status */
  var keys = all(".legend .key");
  keys.forEach(function (button) {
    button.addEventListener("click", function () {
      var status = button.getAttribute("data-status"), on = {}, off = button.getAttribute("aria-pressed") === "true", many = 0;
      keys.forEach(function (other) { other.setAttribute("aria-pressed", String(other === button && !off)); });
      nodes.forEach(function (node, at) { if (node.getAttribute("data-s") === status) { on[at] = true; many++; } });
      choose(off ? null : on, off ? "" : count(many) + " " + status);
    });
  });

  /* What a failure reaches */
  all(".show-blast").forEach(function (button) {
    button.addEventListener("click", function () {
      var hit = {}, on = {}, start = names.indexOf(button.getAttribute("data-name")), first = -1;
      (reached[+button.getAttribute("data-cause")] || []).forEach(function (name) { hit[name] = true; });
      nodes.forEach(function (node, at) { if (hit[names[at]]) { on[at] = true; if (first < 0) first = at; } });
      if (start >= 0) { on[start] = true; first = start; }
      down.forEach(function (below, at) {
        if (on[at]) below.forEach(function (next) { if (nodes[next].classList.contains("k-exposure")) on[next] = true; });
      });
      choose(on, "What the failure of " + button.getAttribute("data-name") + " reaches: " + count(Object.keys(on).length) + ". Escape shows all again.");
      document.getElementById("graph").scrollIntoView();
      if (first >= 0) { goTo(first); stop(first); }
      box.focus({ preventScroll: true });
    });
  });

  /* Begin at the first failure if there is one. A phone keeps a size that can be read. */
  var first = nodes.findIndex(function (node) { return /\b(bad|hurt|begun)\b/.test(node.getAttribute("class")); });
  stop(first < 0 ? 0 : first);
  zoom(Math.max(fit(), box.clientWidth < 700 ? 0.85 : 0.68), 0, 0);
  if (first >= 0) goTo(first);
}
