/** Plots as SVG: plain text, small, and readable on light and dark ground. */

const COLOURS = ['#2563eb', '#9ca3af', '#d97706', '#059669', '#7c3aed', '#db2777'];
const [WIDTH, HEIGHT] = [720, 360];
const [LEFT, RIGHT, TOP, BOTTOM] = [64, 16, 64, 40];
const TICKS = 5;
const STYLE = `text{font:13px system-ui,sans-serif;fill:#4b5563}.title{font-size:15px;font-weight:600}line{stroke:#9ca3af55}@media(prefers-color-scheme:dark){text{fill:#d1d5db}}`;

interface Common {
  readonly title: string;
  /** Of the values. */
  readonly unit: string;
}

export interface BarChart extends Common {
  readonly groups: readonly string[];
  /** One value a group; null where there is none. */
  readonly series: readonly { readonly name: string; readonly values: readonly (number | null)[] }[];
}

export interface LineChart extends Common {
  readonly xLabel: string;
  /** Points as [x, y]. */
  readonly series: readonly { readonly name: string; readonly points: readonly (readonly [number, number])[] }[];
  /** Whether x grows by factors. */
  readonly logX?: boolean;
}

export const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');

const text = (x: number, y: number, content: string, more = ''): string =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escaped(content)}</text>`;

const colour = (index: number): string => COLOURS[index % COLOURS.length] ?? 'black';

/** 1, 2 or 5 times a power of ten, so that at most {@link TICKS} steps reach `max`. */
function tickStep(max: number): number {
  const raw = max / TICKS;
  const power = 10 ** Math.floor(Math.log10(raw));
  return ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power;
}

const shown = (value: number): string =>
  value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));

interface Scale {
  readonly y: (value: number) => number;
  readonly parts: readonly string[];
}

function scaleOf(values: readonly number[]): Scale {
  const max = Math.max(...values, Number.MIN_VALUE);
  const by = tickStep(max);
  const top = Math.ceil(max / by) * by;
  const y = (value: number): number => HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
  const ticks = Array.from({ length: Math.round(top / by) + 1 }, (_, i) => i * by);
  const parts = ticks.flatMap((tick) => [
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(tick).toFixed(1)}" y2="${y(tick).toFixed(1)}"/>`,
    text(LEFT - 8, y(tick) + 4, shown(tick), 'text-anchor="end"'),
  ]);
  return { y, parts };
}

function legend(names: readonly string[]): string[] {
  const width = (WIDTH - LEFT - RIGHT) / Math.max(names.length, 1);
  return names.flatMap((name, i) => [
    `<rect x="${(LEFT + i * width).toFixed(1)}" y="36" width="12" height="12" fill="${colour(i)}"/>`,
    text(LEFT + i * width + 18, 47, name),
  ]);
}

const document = ({ title, unit }: Common, parts: readonly string[]): string =>
  `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}</style>`,
    text(LEFT, 20, `${title} (${unit})`, 'class="title"'),
    ...parts,
    '</svg>',
  ].join('\n')}\n`;

export function barChart(chart: BarChart): string {
  const { groups, series } = chart;
  const { y, parts } = scaleOf(series.flatMap(({ values }) => values.filter((value) => value !== null)));
  const groupWidth = (WIDTH - LEFT - RIGHT) / Math.max(groups.length, 1);
  const width = Math.min((groupWidth * 0.8) / Math.max(series.length, 1), 72);
  const bars = groups.flatMap((group, g) => {
    const middle = LEFT + (g + 0.5) * groupWidth;
    const first = middle - (width * series.length) / 2;
    const ofGroup = series.flatMap(({ values }, s) => {
      const value = values[g] ?? null;
      if (value === null) return [];
      const x = first + s * width;
      return [
        `<rect x="${(x + 1).toFixed(1)}" y="${y(value).toFixed(1)}" width="${(width - 2).toFixed(1)}" height="${(y(0) - y(value)).toFixed(1)}" fill="${colour(s)}"/>`,
        text(x + width / 2, y(value) - 4, shown(value), 'text-anchor="middle"'),
      ];
    });
    return [...ofGroup, text(middle, HEIGHT - BOTTOM + 20, group, 'text-anchor="middle"')];
  });
  return document(chart, [...legend(series.map(({ name }) => name)), ...parts, ...bars]);
}

export function lineChart(chart: LineChart): string {
  const { series, xLabel, logX = false } = chart;
  const points = series.flatMap((one) => one.points);
  const { y, parts } = scaleOf(points.map(([, value]) => value));
  const at = (x: number): number => (logX ? Math.log10(x) : x);
  const xs = points.map(([x]) => at(x));
  const [low, high] = [Math.min(...xs), Math.max(...xs)];
  const x = (value: number): number => LEFT + ((at(value) - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT - 24);
  const lines = series.flatMap(({ points: some }, s) => [
    `<polyline fill="none" stroke="${colour(s)}" stroke-width="2" points="${some.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(' ')}"/>`,
    ...(some.length > 40
      ? []
      : some.map(([a, b]) => `<circle cx="${x(a).toFixed(1)}" cy="${y(b).toFixed(1)}" r="3" fill="${colour(s)}"/>`)),
  ]);
  const every = [...new Set(points.map(([value]) => value))].sort((a, b) => a - b);
  const marked = every.filter((_, i) => i % Math.ceil(every.length / 8) === 0);
  const labels = marked.map((value) => text(x(value), HEIGHT - BOTTOM + 18, shown(value), 'text-anchor="middle"'));
  const axis = text(WIDTH - RIGHT, HEIGHT - 6, xLabel, 'text-anchor="end"');
  return document(chart, [...legend(series.map(({ name }) => name)), ...parts, ...lines, ...labels, axis]);
}
