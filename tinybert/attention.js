// Draws what `show_attention` found, in place of its static picture. Text only becomes text nodes.
(() => {
  // Two colors of its own, each with a contrast of at least 3 to white and to #222. Text and background
  // are the page's, so the view is light on a light page and dark on a dark one.
  const BLUE = [47, 127, 214];
  const css = `
    /* A container has no width of its own, and where it's a cell of a table, it gets none. */
    :host { display: block; container-type: inline-size; min-width: min(300px, 75vw); margin: .5em 0; }
    * { box-sizing: border-box; font: inherit; color: inherit; }
    .view { --blue: ${BLUE.join(" ")}; --orange: #d0611a; font: 14px/1.4 system-ui, sans-serif;
            overflow-wrap: anywhere; }
    .parts { display: flex; flex-wrap: wrap; gap: 16px 24px; align-items: flex-start; }
    .map { display: grid; gap: 2px; flex: 0 1 auto; max-width: 100%; overflow-x: auto;
           padding: 3px 14px 3px 3px; }
    .map span, .names span { font-size: 12px; line-height: 1; white-space: nowrap; }
    .map span { place-self: center; padding: 2px; }
    button { border: 0; margin: 0; padding: 0; background: none; cursor: pointer; }
    .map button { aspect-ratio: 1; line-height: 0; outline: 1px solid rgb(128 128 128 / .6); }
    .map .mean { position: relative; left: 6px; }
    .map .all { place-self: center end; grid-column: 1 / -2; padding-right: 0; }
    .map canvas { width: 100%; height: 100%; image-rendering: pixelated; }
    .map .long { image-rendering: auto; }
    .map button[aria-checked=true] { outline: 3px solid var(--orange); }
    .matrix { display: grid; grid-template: auto 1fr / auto 1fr; gap: 2px; max-width: 100%; }
    .names { display: flex; min-width: 0; }
    .names span { flex: 1 0 0; }
    .rows { flex-direction: column; text-align: right; }
    .rows span { display: grid; align-items: center; justify-content: end; }
    .columns { grid-column: 2; align-items: flex-end; }
    .columns span { writing-mode: vertical-rl; transform: rotate(180deg);
                    display: grid; align-items: center; }
    .names .now { font-weight: 700; }
    .field { position: relative; grid-area: 2 / 2; cursor: crosshair;
             outline: 1px solid rgb(128 128 128 / .6); }
    .field canvas { display: block; width: 100%; height: 100%; image-rendering: pixelated; }
    .field i { position: absolute; left: -1px; right: -1px; outline: 2px solid var(--orange);
               pointer-events: none; }
    .text { flex: 1 1 100%; min-width: 0; }
    .line { display: flex; flex-wrap: wrap; gap: 4px 3px; margin: 2px 0 6px; padding: 2px; }
    .line button { padding: 2px 5px; min-height: 26px; border-radius: 4px; white-space: pre;
                   max-width: 100%; overflow: hidden; text-overflow: ellipsis;
                   background: rgb(var(--blue) / var(--shade, 0)); }
    .line button[aria-checked=true] { outline: 2px solid var(--orange); outline-offset: -1px; }
    button:focus-visible { outline: 3px solid currentColor !important; outline-offset: 1px; }
    p { margin: 0 0 4px; }
    .what { font-weight: 600; }
    summary { cursor: pointer; width: max-content; max-width: 100%; }
    .scroll { max-height: 20em; overflow: auto; }
    table { border-collapse: collapse; }
    caption { text-align: left; padding: 4px 0; }
    th, td { padding: 1px 10px 1px 0; text-align: left; font-variant-numeric: tabular-nums; }
    td, thead th { white-space: nowrap; }
    thead th { font-weight: 600; border-bottom: 1px solid rgb(128 128 128 / .6); }
    tbody th { font-weight: 400; }
    @container (max-width: 560px) { .matrix { order: 2; } }`;

  const make = (tag, properties = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties))
      name in node && name !== "role" ? node[name] = value : node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  // base64 of deflated bytes, one for each weight: 255 stands for 1.
  const unpack = async text => {
    const packed = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  // The weights of one head, or means: [layer][head], with `heads` as the index of a layer's mean,
  // and the mean of all at [layers][heads]. A mean over layers would mix heads that aren't related.
  const readHeads = (bytes, layers, heads, size) => {
    const found = [], total = new Float32Array(size);
    for (let layer = 0; layer < layers; layer++) {
      const mean = new Float32Array(size), row = [];
      for (let head = 0; head < heads; head++) {
        const start = (layer * heads + head) * size;
        const weights = Float32Array.from(bytes.subarray(start, start + size), byte => byte / 255);
        weights.forEach((weight, at) => { mean[at] += weight / heads; });
        row.push(weights);
      }
      mean.forEach((weight, at) => { total[at] += weight / layers; });
      found.push([...row, mean]);
    }
    found[layers] = { [heads]: total };
    return found;
  };

  // Square roots, so that small weights can be seen.
  const paint = (canvas, weights, count) => {
    canvas.width = canvas.height = count;
    const picture = new ImageData(count, count);
    weights.forEach((weight, at) => {
      [picture.data[4 * at], picture.data[4 * at + 1], picture.data[4 * at + 2]] = BLUE;
      picture.data[4 * at + 3] = 255 * Math.sqrt(weight);
    });
    canvas.getContext("2d").putImageData(picture, 0, 0);
  };

  const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  const show = async root => {
    const { tokens, layers, heads, second, ...first } = JSON.parse(root.dataset.view);
    const count = tokens.length;
    const all = readHeads(await unpack(root.dataset.weights), layers, heads, count * count);
    let layer = first.layer ?? layers, head = first.head ?? heads, token = Math.min(1, count - 1);

    const what = make("p", { className: "what" });
    const says = make("p", { className: "says", "aria-live": "polite" });
    const group = (className, name, ...children) =>
      make("div", { className, role: "radiogroup", "aria-label": name }, ...children);
    const map = group("map", "Layer and head");
    map.style.gridTemplateColumns = `auto repeat(${heads + 1}, minmax(20px, 1fr))`;
    map.style.width = `${Math.min(500, 44 + Math.min(42, Math.max(28, 300 / layers)) * (heads + 1))}px`;

    const nameOf = (layer, head) => layer === layers ? "mean of all layers and heads"
      : `layer ${layer}, ` + (head === heads ? "mean of its heads" : `head ${head}`);
    const cells = [];
    map.append(make("span"), ...[...Array(heads).keys()].map(head => make("span", {}, `${head}`)),
               make("span", { className: "mean" }, "mean"));
    for (let row = 0; row <= layers; row++) {
      map.append(row < layers ? make("span", {}, `${row}`)
                              : make("span", { className: "all" }, "all layers"));
      cells.push([]);
      for (let column = row < layers ? 0 : heads; column <= heads; column++) {
        const canvas = make("canvas", { className: count > 30 ? "long" : "", ariaHidden: "true" });
        paint(canvas, all[row][column], count);
        const cell = make("button", { type: "button", role: "radio", tabIndex: -1,
          "aria-label": nameOf(row, column),
          className: column === heads ? "mean" : "" }, canvas);
        cell.addEventListener("click", () => choose(row, column));
        cells[row][column] = cell;
        map.append(cell);
      }
    }

    const large = make("canvas", { ariaHidden: "true" }), mark = make("i");
    const field = make("div", { className: "field" }, large, mark);
    const side = Math.min(320, Math.max(120, 22 * count));
    field.style.width = field.style.height = `${side}px`;
    const labeled = side / count >= 11;
    const shorten = token => token.length > 14 ? `${token.slice(0, 13)}…` : token;
    const names = kind => make("div", { className: `names ${kind}`, ariaHidden: "true" },
                               ...(labeled ? tokens.map(token => make("span", {}, shorten(token))) : []));
    const rows = names("rows"), columns = names("columns");
    const matrix = make("div", { className: "matrix" }, columns, rows, field);

    const buttons = tokens.map((text, at) => {
      const button = make("button", { type: "button", role: "radio", tabIndex: -1,
                                      "aria-label": `${text}, position ${at}` }, text);
      for (const event of ["pointerenter", "focus", "click"])
        button.addEventListener(event, () => point(at));
      return button;
    });
    const line = buttons => make("div", { className: "line" }, ...buttons);
    const text = group("text", "Token that attends", line(buttons.slice(0, second ?? count)),
                       ...(second ? [line(buttons.slice(second))] : []), says);

    const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region",
                                 "aria-label": "Weights as a table" });
    const details = make("details", {}, make("summary", {}, "Weights as a table"), scroll);
    details.addEventListener("toggle", () => fill());

    const row = () => all[layer][head].subarray(token * count, (token + 1) * count);

    const fill = () => {
      if (!details.open) return;
      const cell = (tag, text, scope) => make(tag, scope ? { scope } : {}, text);
      const titles = ["position", "token", "weight"].map(text => cell("th", text, "col"));
      const body = [...row()].map((weight, at) => make("tr", {}, cell("td", `${at}`),
        cell("th", tokens[at], "row"), cell("td", weight.toFixed(2))));
      scroll.replaceChildren(make("table", {},
        make("caption", {},
             `Where ${tokens[token]} (position ${token}) attends: ${nameOf(layer, head)}`),
        make("thead", {}, make("tr", {}, ...titles)), make("tbody", {}, ...body)));
    };

    const point = at => {
      token = at;
      buttons.forEach((button, at) => {
        button.style.setProperty("--shade", (.75 * Math.sqrt(row()[at])).toFixed(3));
        button.setAttribute("aria-checked", at === token);
        button.tabIndex = at === token ? 0 : -1;
      });
      const order = [...row().keys()].sort((a, b) => row()[b] - row()[a]).slice(0, 5);
      says.textContent = `${tokens[token]} → ` + order.map(
        at => `${tokens[at]} ${row()[at].toFixed(2)}`).join(", ");
      mark.style.top = `${100 * token / count}%`;
      mark.style.height = `${100 / count}%`;
      [...rows.children].forEach((name, at) => name.classList.toggle("now", at === token));
      fill();
    };

    const choose = (newLayer, newHead) => {
      [layer, head] = [newLayer, newHead];
      for (const cell of cells.flat()) {
        const chosen = cell === cells[layer][head];
        cell.setAttribute("aria-checked", chosen);
        cell.tabIndex = chosen ? 0 : -1;
      }
      const name = nameOf(layer, head);
      what.textContent = name[0].toUpperCase() + name.slice(1);
      paint(large, all[layer][head], count);
      point(token);
    };

    map.addEventListener("keydown", event => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      let [row, column] = [layer + step[0], head + step[1]];
      if (row === layers) column = heads;  // the last row has the mean of all, and nothing else
      if (!cells[row]?.[column]) return;
      choose(row, column);
      cells[row][column].focus();
    });
    text.addEventListener("keydown", event => {
      const step = STEPS[event.key];
      if (!step) return;
      event.preventDefault();
      buttons[token + step[0] + step[1]]?.focus();
    });
    field.addEventListener("pointermove", event => {
      const box = field.getBoundingClientRect();
      const at = (offset, size) =>
        Math.max(0, Math.min(count - 1, Math.floor(offset / size * count)));
      point(at(event.clientY - box.top, box.height));
      const column = at(event.clientX - box.left, box.width);
      says.textContent = `${tokens[token]} → ${tokens[column]} ${row()[column].toFixed(2)}`;
    });

    const shadow = root.attachShadow({ mode: "open" });
    shadow.append(make("style", { textContent: css }), make("div", { className: "view" }, what,
      make("div", { className: "parts" }, map, matrix, text), details));
    choose(layer, head);
  };

  if (!("DecompressionStream" in window)) return;  // an old browser: the picture stays
  for (const root of document.querySelectorAll(".tinybert-attention:not([data-ready])")) {
    root.dataset.ready = "";
    show(root);
  }
})();
