"use strict";
// Plays each answer again at the speed at which it came. What is shown is only ever text that stands in the page already:
// it is taken away, and put back piece by piece. Nothing is parsed, and nothing leaves the page.

const SPEEDS = [1, 2, 4, 16];

/** A part of a page that was made of the characters `from` to `to` of a text. */
class Block {
  constructor(element, from, to) {
    this.element = element;
    this.from = from;
    this.to = to;
    this.texts = [];
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) this.texts.push([walker.currentNode, walker.currentNode.data]);
    this.length = this.texts.reduce((sum, [, text]) => sum + text.length, 0);
    // Without a text of their own they would be empty bullets, rows and boxes.
    this.inner = [...element.querySelectorAll("li, tr, pre, p, blockquote")];
  }

  /** Show what `count` characters of the text have made of it: by proportion inside the block. */
  show(count) {
    this.element.hidden = count <= this.from && this.to > this.from;
    if (this.element.hidden) return;
    const share = count >= this.to ? 1 : (count - this.from) / (this.to - this.from);
    let left = share === 1 ? this.length : Math.ceil(this.length * share);
    for (const [node, text] of this.texts) {
      let end = Math.max(0, Math.min(left, text.length));
      if (end < text.length && /[\uDC00-\uDFFF]/.test(text.charAt(end))) end += 1;
      if (node.data.length !== end) node.data = text.slice(0, end);
      left -= text.length;
    }
    for (const one of this.inner) one.hidden = share < 1 && !one.textContent.trim();
  }
}

/** The parts of one text, in the order in which they stand. */
function blocksOf(pane) {
  if (!pane) return [];
  const parts = pane.dataset.to ? [pane] : [...pane.querySelectorAll(":scope > [data-to]")];
  return parts.map((part) => new Block(part, Number(part.dataset.from), Number(part.dataset.to)));
}

class Replay {
  constructor(article) {
    this.article = article;
    // Milliseconds after the request, kind, characters: of each piece that came.
    this.pieces = JSON.parse(article.querySelector("script[type='application/json']").textContent);
    this.panes = ["text", "reasoning", "refusal"].map((kind) => article.querySelector(`[data-pane=${kind}]`));
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.addEventListener("click", () => (this.frame ? this.stop() : this.start()));
    this.speed = document.createElement("select");
    this.speed.setAttribute("aria-label", "speed");
    for (const speed of SPEEDS) this.speed.add(new Option(`${speed}×`, String(speed)));
    this.speed.addEventListener("change", () => this.anew());
    this.clock = document.createElement("output");
    article.querySelector(".replay").append(this.button, this.speed, this.clock);
    this.frame = 0;
    this.label();
  }

  label() {
    this.button.textContent = this.frame ? "■ Show all" : "▶ Replay";
  }

  start() {
    this.blocks ??= this.panes.map(blocksOf);
    // The page keeps its height, so that the button stays under the finger.
    this.article.style.minHeight = `${this.article.offsetHeight}px`;
    this.next = 0;
    this.counts = [0, 0, 0];
    this.blocks.flat().forEach((block) => block.show(0));
    const reasoning = this.panes[1]?.closest("details");
    if (reasoning) reasoning.open = true;
    this.offset = 0;
    this.anew();
    this.frame = requestAnimationFrame(() => this.step());
    this.label();
  }

  /** Count from here on, at the speed that is chosen now. */
  anew() {
    this.offset = this.frame ? this.at() : 0;
    this.since = performance.now();
    this.factor = Number(this.speed.value);
  }

  at() {
    return this.offset + (performance.now() - this.since) * this.factor;
  }

  step() {
    const at = this.at();
    const changed = new Set();
    while (this.next < this.pieces.length && this.pieces[this.next][0] <= at) {
      const [, kind, characters] = this.pieces[this.next++];
      this.counts[kind] += characters;
      changed.add(kind);
    }
    for (const kind of changed) this.blocks[kind].forEach((block) => block.show(this.counts[kind]));
    this.clock.textContent = `${(at / 1000).toFixed(2)} s`;
    if (this.next === this.pieces.length) return this.stop();
    this.frame = requestAnimationFrame(() => this.step());
  }

  stop() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.blocks.flat().forEach((block) => block.show(Infinity));
    this.article.style.minHeight = "";
    this.label();
  }
}

for (const article of document.querySelectorAll("article")) {
  if (article.querySelector("script[type='application/json']")) new Replay(article);
}
