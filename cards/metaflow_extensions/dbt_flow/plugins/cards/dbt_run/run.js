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
    var button = document.querySelector(".pause"), announce = document.getElementById("announce");
    /* A page that was loaded anew says nothing by itself to who listens: only what is new is said. */
    if (announce && was.said !== data.said && was.said !== undefined) setTimeout(function () { announce.textContent = data.said; }, 400);
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
      keep({ said: data.said, y: window.scrollY, typed: typed, box: box && [box.scrollLeft, box.scrollTop],
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

  function moment(text) {
    var at = new Date(text);
    return text && !isNaN(at) ? at.toISOString().slice(0, 16).replace("T", " ") : text || "–";
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
      if (!value) { td.textContent = "–"; return td; }
      inside = make("span", "st " + data.looks[value][0]);
      var mark = make("span", "mk", data.looks[value][1]);
      mark.setAttribute("aria-hidden", "true");
      inside.appendChild(mark);
      inside.appendChild(document.createTextNode(value));
      td.appendChild(inside);
    } else if (column.kind === "seconds") td = make("td", "num", seconds(value));
    else if (column.kind === "time") td = make("td", "c-text", moment(value));
    else if (column.kind === "number") td = make("td", "num", value === null ? "–" : value.toLocaleString("en"));
    else if (column.kind === "query" && value && /^https?:/.test(data.query_page)) {
      td = make("td", "mono");
      inside = make("a", "", value);
      inside.href = data.query_page.replace("{query}", encodeURIComponent(value));
      inside.rel = "noopener noreferrer";
      td.appendChild(inside);
    } else td = make("td", "c-" + column.kind, value || "–");
    return td;
  }

  /* On a phone a row is a block of its own, and each value bears its column's title. */
  function labelled(column, value) {
    var td = cell(column, value);
    td.setAttribute("data-label", column.title);
    td.classList.add("k-" + column.kind);
    if (value === null || value === undefined || value === "") td.classList.add("k-none");
    return td;
  }

  function table(id) {
    var element = document.querySelector('table[data-table="' + id + '"]');
    if (!element) return;
    var section = document.getElementById(id), rows = data[id], columns = data.columns[id];
    var body = element.tBodies[0], input = section.querySelector("input"), chips = section.querySelector(".chips");
    var note = section.querySelector(".live-count"), more = section.querySelector(".more-rows");
    var statusAt = (columns.filter(function (column) { return column.kind === "status"; })[0] || { at: -1 }).at;
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
        columns.forEach(function (column) { tr.appendChild(labelled(column, rows[at][column.at])); });
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
    if (statusAt >= 0) rows.forEach(function (row) { if (row[statusAt] && statuses.indexOf(row[statusAt]) < 0) statuses.push(row[statusAt]); });
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

  copying();
  window.addEventListener("beforeprint", function () { all("details").forEach(function (one) { one.open = true; }); });
  all("time[datetime]").forEach(function (time) {
    var at = new Date(time.getAttribute("datetime"));
    if (!isNaN(at)) time.title = at.toLocaleString() + " here";
  });
  var models = table("models");
  table("tests");
  table("sources");
  drawGraph(all, data.reached, models);
  if (data.live) live();
  document.documentElement.setAttribute("data-ready", "true");
})();
