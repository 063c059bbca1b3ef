import { escaped } from './plot.ts';

/** A flame graph as SVG: what calls what from the bottom to the top, as wide as the time it took. */

/** A stack from its root to its leaf, and how much was spent there. */
export interface Stack {
  readonly frames: readonly string[];
  readonly value: number;
}

interface Node {
  readonly name: string;
  value: number;
  readonly children: Map<string, Node>;
}

const [WIDTH, ROW, TOP] = [1200, 15, 40];
/** What is narrower than this is left out, in pixels. */
const NARROWEST = 1.5;
const CHARACTER = 6.2;
const STYLE =
  'text{font:11px ui-monospace,monospace;fill:#111827}.title{font:600 15px system-ui,sans-serif;fill:#4b5563}@media(prefers-color-scheme:dark){.title{fill:#d1d5db}}';

function treeOf(stacks: readonly Stack[]): Node {
  const root: Node = { name: 'all', value: 0, children: new Map() };
  for (const { frames, value } of stacks) {
    let at = root;
    at.value += value;
    for (const name of frames) {
      const next: Node = at.children.get(name) ?? { name, value: 0, children: new Map() };
      at.children.set(name, next);
      next.value += value;
      at = next;
    }
  }
  return root;
}

const depthOf = ({ children }: Node): number => 1 + Math.max(0, ...[...children.values()].map(depthOf));

/** The same name has the same colour everywhere, between red and yellow. */
function colourOf(name: string): string {
  const sum = [...name].reduce((hash, character) => (hash * 31 + character.charCodeAt(0)) % 9_973, 7);
  return `hsl(${10 + (sum % 45)} 85% ${60 + (sum % 12)}%)`;
}

/** @param unit of the values, for the tooltips */
export function flameGraph(title: string, unit: string, stacks: readonly Stack[]): string {
  const root = treeOf(stacks);
  const parts: string[] = [];
  const rows = Math.min(depthOf(root), 60);
  const height = TOP + rows * ROW + 4;
  const scale = WIDTH / root.value;
  const draw = (node: Node, x: number, row: number): void => {
    const width = node.value * scale;
    if (width < NARROWEST || row >= rows) return;
    const y = height - 4 - (row + 1) * ROW;
    const share = ((100 * node.value) / root.value).toFixed(1);
    const fits = Math.floor(width / CHARACTER);
    const label = fits < 4 ? '' : node.name.slice(0, fits);
    parts.push(
      `<g><title>${escaped(`${node.name}: ${node.value.toFixed(0)} ${unit}, ${share} %`)}</title>` +
        `<rect x="${x.toFixed(1)}" y="${y}" width="${(width - 0.3).toFixed(1)}" height="${ROW - 1}" fill="${colourOf(node.name)}"/>` +
        (label === '' ? '</g>' : `<text x="${(x + 2).toFixed(1)}" y="${y + 11}">${escaped(label)}</text></g>`),
    );
    let left = x;
    for (const child of [...node.children.values()].sort((a, b) => (a.name < b.name ? -1 : 1))) {
      draw(child, left, row + 1);
      left += child.value * scale;
    }
  };
  draw(root, 0, 0);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    `<title>${escaped(title)}</title>`,
    `<style>${STYLE}</style><text class="title" x="4" y="22">${escaped(title)}</text>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}
