(function () {
  "use strict";
  var data = JSON.parse(document.getElementById("data").textContent);
  var all = function (selector, within) { return Array.prototype.slice.call((within || document).querySelectorAll(selector)); };
  var make = function (tag, name, text) {
    var element = document.createElement(tag);
    if (name) element.className = name;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  /* What a reader has opened, typed and scrolled to outlives a refresh. In a sandboxed frame there is nothing to keep it in. */
  var key = "dbt-flow:" + data.run;
  var keep = function (value) { try { sessionStorage.setItem(key, JSON.stringify(value)); } catch (error) { return; } };
  var kept = function () { try { return JSON.parse(sessionStorage.getItem(key)) || {}; } catch (error) { return {}; } };

  function live() {
    var paused = false, was = kept();
    var button = document.querySelector(".pause");
    if ("scrollRestoration" in history) history.scrollRestoration = "manual";
    all("details").forEach(function (one, at) { if (was.open && at in was.open) one.open = was.open[at]; });
    all("input[type=search]").forEach(function (one) {
      if (was.typed && was.typed[one.id]) { one.value = was.typed[one.id]; one.dispatchEvent(new Event("input")); }
    });
    var box = document.querySelector(".graph-box");
    if (box && was.box) { box.scrollLeft = was.box[0]; box.scrollTop = was.box[1]; }
    if (was.y) window.scrollTo(0, was.y);
    var busy = function () {
      var at = document.activeElement, chosen = window.getSelection();
      return paused || (at && at.tagName === "INPUT") || (chosen && !chosen.isCollapsed);
    };
    window.addEventListener("pagehide", function () {
      var typed = {};
      all("input[type=search]").forEach(function (one) { typed[one.id] = one.value; });
      keep({ y: window.scrollY, typed: typed, box: box && [box.scrollLeft, box.scrollTop],
             open: all("details").map(function (one) { return one.open; }) });
    });
    button.addEventListener("click", function () {
      paused = !paused;
      button.setAttribute("aria-pressed", String(paused));
      button.textContent = paused ? "Go on refreshing" : "Pause refreshing";
    });
    setInterval(function () { if (!busy()) location.reload(); }, 3000);
  }

  function copying() {
    document.addEventListener("click", function (event) {
      var button = event.target.closest && event.target.closest(".copy");
      if (!button) return;
      var source = button.parentNode.querySelector("code"), text = source.textContent;
      var done = function () {
        button.textContent = "Copied";
        setTimeout(function () { button.textContent = "Copy"; }, 1600);
      };
      var byHand = function () {
        var range = document.createRange();
        range.selectNodeContents(source);
        var chosen = window.getSelection();
        chosen.removeAllRanges();
        chosen.addRange(range);
        if (document.execCommand("copy")) { chosen.removeAllRanges(); done(); }
      };
      if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(done, byHand);
      else byHand();
    });
  }

  function seconds(value) {
    if (value === null) return "–";
    if (value < 9.95) return value < 1 ? value.toFixed(2) + " s" : value.toFixed(1) + " s";
    var whole = Math.round(value), two = function (n) { return (n < 10 ? "0" : "") + n; };
    if (whole < 60) return whole + " s";
    if (whole < 3600) return Math.floor(whole / 60) + " min " + two(whole % 60) + " s";
    return Math.floor(whole / 3600) + " h " + two(Math.floor(whole % 3600 / 60)) + " min";
  }

  function cell(column, value) {
    var td, inside;
    if (column.kind === "name") {
      td = make("th", "c-name");
      td.scope = "row";
      inside = make("span", "", value);
      inside.title = value;
      td.appendChild(inside);
    } else if (column.kind === "status") {
      td = make("td");
      inside = make("span", "st " + data.looks[value][0]);
      var mark = make("span", "mk", data.looks[value][1]);
      mark.setAttribute("aria-hidden", "true");
      inside.appendChild(mark);
      inside.appendChild(document.createTextNode(value));
      td.appendChild(inside);
    } else if (column.kind === "seconds") td = make("td", "num", seconds(value));
    else if (column.kind === "number") td = make("td", "num", value === null ? "–" : value.toLocaleString("en"));
    else td = make("td", "c-" + column.kind, value || "–");
    return td;
  }

  function table(id) {
    var element = document.querySelector('table[data-table="' + id + '"]');
    if (!element) return;
    var section = document.getElementById(id), rows = data[id], columns = data.columns[id];
    var body = element.tBodies[0], input = section.querySelector("input"), chips = section.querySelector(".chips");
    var note = section.querySelector(".live-count"), more = section.querySelector(".more-rows");
    var statusAt = columns.filter(function (column) { return column.kind === "status"; })[0].at;
    var nameAt = columns[0].at, sorted = null, down = false, only = "", shown = [], filled = 0;
    /* Not in what a row says about others: who looks for a model wants that model. */
    var searched = columns.filter(function (column) { return column.kind !== "long" && column.kind !== "summary"; });
    var haystack = rows.map(function (row) {
      return searched.map(function (column) { return row[column.at]; }).join(" ").toLowerCase();
    });

    var fill = function (number) {
      var part = document.createDocumentFragment();
      shown.slice(filled, filled + number).forEach(function (at) {
        var tr = make("tr");
        columns.forEach(function (column) { tr.appendChild(cell(column, rows[at][column.at])); });
        part.appendChild(tr);
      });
      body.appendChild(part);
      filled = Math.min(filled + number, shown.length);
      more.hidden = filled >= shown.length;
      more.textContent = "Show more (" + (shown.length - filled).toLocaleString("en") + " left)";
    };
    var show = function () {
      var words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      shown = [];
      rows.forEach(function (row, at) {
        var fits = (!only || row[statusAt] === only) && words.every(function (word) { return haystack[at].indexOf(word) >= 0; });
        if (fits) shown.push(at);
      });
      if (sorted) shown.sort(function (a, b) {
        var x = rows[a][sorted.at], y = rows[b][sorted.at];
        var empty = function (v) { return v === null || v === ""; };
        if (empty(x) || empty(y)) return empty(x) - empty(y) || a - b;
        var order = typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0;
        return (down ? -order : order) || a - b;
      });
      body.textContent = "";
      filled = 0;
      fill(100);
      note.textContent = shown.length === rows.length ? "" : shown.length.toLocaleString("en") + " of " + rows.length.toLocaleString("en");
    };

    all("thead th", element).forEach(function (th, at) {
      var column = columns[at], button = make("button", "", th.textContent);
      button.type = "button";
      th.textContent = "";
      th.appendChild(button);
      button.addEventListener("click", function () {
        var numeric = column.kind === "seconds" || column.kind === "number";
        if (sorted !== column) { sorted = column; down = numeric; }
        else if (down === numeric) down = !numeric;
        else sorted = null;
        all("thead th", element).forEach(function (other) { other.removeAttribute("aria-sort"); });
        if (sorted) th.setAttribute("aria-sort", down ? "descending" : "ascending");
        show();
      });
    });
    var statuses = [];
    rows.forEach(function (row) { if (statuses.indexOf(row[statusAt]) < 0) statuses.push(row[statusAt]); });
    if (statuses.length > 1) statuses.forEach(function (status) {
      var chip = make("button", "", status);
      chip.type = "button";
      chip.setAttribute("aria-pressed", "false");
      chip.addEventListener("click", function () {
        only = only === status ? "" : status;
        all("button", chips).forEach(function (other) { other.setAttribute("aria-pressed", String(other === chip && only === status)); });
        show();
      });
      chips.appendChild(chip);
    });
    input.addEventListener("input", show);
    more.addEventListener("click", function () { fill(400); });
    window.addEventListener("beforeprint", function () { fill(1000); });
    if ("IntersectionObserver" in window) new IntersectionObserver(function (seen) {
      if (seen[0].isIntersecting && !more.hidden) fill(200);
    }, { rootMargin: "200px" }).observe(more);
    show();
    element.setAttribute("data-rows", String(rows.length));
    return { find: function (name) { input.value = name; show(); section.scrollIntoView(); input.focus(); }, nameAt: nameAt };
  }

  function graph(models) {
    var svg = document.querySelector("svg.graph");
    if (!svg) return;
    var box = svg.parentNode, nodes = all(".n", svg), lines = all(".edges path", svg);
    var up = nodes.map(function () { return []; }), down = nodes.map(function () { return []; });
    lines.forEach(function (line) {
      line.a = +line.getAttribute("data-a");
      line.b = +line.getAttribute("data-b");
      down[line.a].push(line.b);
      up[line.b].push(line.a);
    });
    var reach = function (at, way, found) {
      way[at].forEach(function (next) { if (!found[next]) { found[next] = true; reach(next, way, found); } });
      return found;
    };
    var light = function (at) {
      if (at === null) { svg.classList.remove("lit"); return; }
      var above = reach(at, up, {}), below = reach(at, down, {});
      above[at] = below[at] = true;
      nodes.forEach(function (node, i) { node.classList.toggle("on", Boolean(above[i] || below[i])); });
      lines.forEach(function (line) {
        line.classList.toggle("on", Boolean((above[line.a] && above[line.b]) || (below[line.a] && below[line.b])));
      });
      svg.classList.add("lit");
    };
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
    var middle = function (to) { zoom(to, box.clientWidth / 2, box.clientHeight / 2); };
    all("[data-zoom]").forEach(function (button) {
      button.addEventListener("click", function () {
        var way = button.getAttribute("data-zoom");
        middle(way === "0" ? fit() : scale * (way === "+" ? 1.25 : 0.8));
      });
    });
    box.addEventListener("wheel", function (event) {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      var at = box.getBoundingClientRect();
      zoom(scale * Math.exp(-event.deltaY / 300), event.clientX - at.left, event.clientY - at.top);
    }, { passive: false });
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

    var current = -1;
    var step = function (to) {
      if (current >= 0) nodes[current].setAttribute("tabindex", "-1");
      current = to;
      nodes[to].setAttribute("tabindex", "0");
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
      node.addEventListener("pointerenter", function () { if (!from) light(at); });
      node.addEventListener("pointerleave", function () { light(null); });
      node.addEventListener("focus", function () { light(at); });
      node.addEventListener("blur", function () { light(null); });
      var open = function () {
        var name = node.querySelector("title").textContent.split(" · ")[0];
        if (models && !node.classList.contains("none")) models.find(name);
      };
      node.addEventListener("dblclick", open);
      node.addEventListener("keydown", function (event) {
        var to = { ArrowRight: down[at][0], ArrowLeft: up[at][0], ArrowDown: beside(at, 1), ArrowUp: beside(at, -1) }[event.key];
        if (event.key === "Enter") open();
        else if (event.key === "Escape") box.focus();
        else if (event.key.indexOf("Arrow") !== 0) return;
        else if (to !== undefined && to >= 0) step(to);
        event.preventDefault();
      });
    });
    /* One stop for the Tab key, then arrows: the first failure if there is one. A phone keeps a size that can be read. */
    var first = nodes.findIndex(function (node) { return node.classList.contains("bad") || node.classList.contains("hurt") || node.classList.contains("begun"); });
    current = first < 0 ? 0 : first;
    nodes[current].setAttribute("tabindex", "0");
    zoom(Math.max(fit(), box.clientWidth < 700 ? 0.85 : 0.74), 0, 0);
    if (first >= 0) {
      var place = nodes[first].transform.baseVal.getItem(0).matrix;
      box.scrollLeft = place.e * scale - box.clientWidth / 3;
      box.scrollTop = place.f * scale - box.clientHeight / 2;
    }
  }

  copying();
  window.addEventListener("beforeprint", function () { all("details").forEach(function (one) { one.open = true; }); });
  all("time[datetime]").forEach(function (time) {
    var at = new Date(time.getAttribute("datetime"));
    if (!isNaN(at)) time.title = at.toLocaleString() + " here";
  });
  var models = table("models");
  table("tests");
  graph(models);
  if (data.live) live();
  document.documentElement.setAttribute("data-ready", "true");
})();
