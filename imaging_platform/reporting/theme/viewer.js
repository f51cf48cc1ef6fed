// Three planes through one volume, with overlays. No library, no network.
(() => {
  "use strict";
  const PLANES = { axial: [0, 1, 2], coronal: [0, 2, 1], sagittal: [1, 2, 0] };
  const ENDS = { axial: "LRPA", coronal: "LRIS", sagittal: "PAIS" };

  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream();
    const plain = stream.pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(plain).arrayBuffer());
  }

  async function open(root) {
    const about = JSON.parse(root.dataset.about);
    const data = await unpack(root.dataset.bytes);
    root.removeAttribute("data-bytes");
    let from = 0;
    const layers = about.layers.map((layer) => {
      const size = layer.shape.reduce((product, n) => product * n);
      const share = layer.shape[0] === about.shape[0] ? 1 : about.share;
      from += size;
      return { ...layer, share, data: data.subarray(from - size, from) };
    });
    const base = layers.shift();
    const lut = about.colours.match(/.{6}/g).map((c) => parseInt(c, 16));
    const at = about.start.slice();
    const state = { level: 0.5, width: 1, layer: -1, opacity: 0.65 };
    const find = (name) => root.querySelector(`[data-is="${name}"]`);
    const views = Object.keys(PLANES).map((plane) => makeView(plane));
    const said = find("said");
    const [wide, deep] = about.shape;
    root.querySelector(".planes").style.gridTemplateColumns = `${wide}fr ${wide}fr ${deep}fr`;

    const choice = find("layer");
    layers.forEach((layer, n) => choice.add(new Option(layer.name, n)));

    function read(layer, place) {
      const [x, y, z] = place.map((n) => Math.round(n * layer.share));
      return layer.data[(x * layer.shape[1] + y) * layer.shape[2] + z];
    }

    function makeView(plane) {
      const [u, v, w] = PLANES[plane];
      const canvas = find(plane);
      canvas.width = about.shape[u];
      canvas.height = about.shape[v];
      const view = { plane, u, v, w, canvas, pen: canvas.getContext("2d") };
      canvas.addEventListener("pointerdown", (event) => {
        canvas.setPointerCapture(event.pointerId);
        point(view, event);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (event.buttons) point(view, event);
      });
      canvas.addEventListener("wheel", (event) => {
        event.preventDefault();
        move(w, event.deltaY < 0 ? 1 : -1);
      }, { passive: false });
      canvas.addEventListener("keydown", (event) => key(view, event));
      return view;
    }

    function point(view, event) {
      const box = view.canvas.getBoundingClientRect();
      const share = (part, whole) => Math.min(Math.max(part / whole, 0), 0.9999);
      at[view.u] = Math.floor(share(event.clientX - box.left, box.width) * about.shape[view.u]);
      at[view.v] = about.shape[view.v] - 1
        - Math.floor(share(event.clientY - box.top, box.height) * about.shape[view.v]);
      draw();
    }

    function move(axis, by) {
      at[axis] = Math.min(Math.max(at[axis] + by, 0), about.shape[axis] - 1);
      draw();
    }

    function key(view, event) {
      const far = event.shiftKey ? 5 : 1;
      const acts = {
        ArrowLeft: () => move(view.u, -far), ArrowRight: () => move(view.u, far),
        ArrowDown: () => move(view.v, -far), ArrowUp: () => move(view.v, far),
        PageDown: () => move(view.w, -far), PageUp: () => move(view.w, far),
        o: () => { choice.value = (Number(choice.value) + 2) % (layers.length + 1) - 1; change(); },
      };
      const act = acts[event.key];
      if (act) { event.preventDefault(); act(); }
    }

    function paint(view) {
      const { u, v, w, canvas, pen } = view;
      const picture = pen.createImageData(canvas.width, canvas.height);
      const pixels = picture.data;
      const low = state.level - state.width / 2;
      const over = layers[state.layer];
      const place = [0, 0, 0];
      place[w] = at[w];
      for (let row = 0, to = 0; row < canvas.height; row++) {
        place[v] = canvas.height - 1 - row;
        for (let column = 0; column < canvas.width; column++, to += 4) {
          place[u] = column;
          const grey = 255 * (read(base, place) / 255 - low) / state.width;
          let red = grey, green = grey, blue = grey;
          const value = over ? read(over, place) : 0;
          if (value) {
            const colour = over.kind === "mask" ? 0xf0e442
              : lut[Math.round((value - 1) / 254 * (lut.length - 1))];
            const share = over.kind === "mask" ? state.opacity / 2 : state.opacity;
            red += share * ((colour >> 16) - red);
            green += share * (((colour >> 8) & 255) - green);
            blue += share * ((colour & 255) - blue);
          }
          pixels[to] = red; pixels[to + 1] = green; pixels[to + 2] = blue;
          pixels[to + 3] = 255;
        }
      }
      pen.putImageData(picture, 0, 0);
      const cross = canvas.parentElement.querySelectorAll("i");
      cross[0].style.left = `${100 * (at[u] + 0.5) / about.shape[u]}%`;
      cross[1].style.top = `${100 * (1 - (at[v] + 0.5) / about.shape[v])}%`;
    }

    function measure(layer) {
      const value = read(layer, at);
      if (layer.kind === "mask") return value ? "inside" : "outside";
      if (layer.kind === "colour" && !value) return "–";
      const share = layer.kind === "grey" ? value / 255 : (value - 1) / 254;
      return (layer.low + share * (layer.high - layer.low)).toPrecision(3);
    }

    function draw() {
      views.forEach(paint);
      const mm = about.affine.map((row) =>
        (row[0] * at[0] + row[1] * at[1] + row[2] * at[2] + row[3]).toFixed(0));
      const values = [base, ...layers].map((layer) => `${layer.name} ${measure(layer)}`);
      said.textContent = `x ${mm[0]}, y ${mm[1]}, z ${mm[2]} mm · ${values.join(" · ")}`;
    }

    function change() {
      state.layer = Number(choice.value);
      state.level = 1 - find("level").value / 100;
      state.width = Math.max(0.02, 1.5 - find("width").value / 100 * 1.5 + 0.25);
      state.opacity = find("opacity").value / 100;
      const over = layers[state.layer];
      const coloured = over && over.kind === "colour";
      find("scale").hidden = !coloured;
      if (coloured) {
        find("low").textContent = over.low;
        find("high").textContent = `${over.high} ${over.unit}`;
      }
      draw();
    }

    find("bar").style.background = `linear-gradient(to right,${
      lut.map((c) => `#${c.toString(16).padStart(6, "0")}`).join(",")})`;
    for (const name of ["layer", "level", "width", "opacity"]) {
      find(name).addEventListener("input", change);
    }
    views.forEach((view) => {
      const marks = view.canvas.parentElement.querySelectorAll("b");
      [...ENDS[view.plane]].forEach((letter, n) => { marks[n].textContent = letter; });
    });
    choice.value = "-1";
    change();
    root.hidden = false;
  }

  for (const root of document.querySelectorAll(".viewer")) {
    open(root).catch(() => { root.nextElementSibling.hidden = false; });
  }
})();
