/** Figures that say how sure they are. */

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)] ?? Number.NaN, sorted[Math.ceil(at)] ?? Number.NaN];
  return low + (high - low) * (at - Math.floor(at));
}

export interface Ratio {
  readonly value: number;
  /** In which it lies with 95 %. */
  readonly interval: readonly [number, number];
}

const RESAMPLES = 2_000;

/** As many of the values as there are, by chance. */
export function resample(values: readonly number[]): number[] {
  return values.map(() => values[Math.floor(Math.random() * values.length)] ?? Number.NaN);
}

/** The quantile of one sample over that of another; the interval by bootstrap. */
export function quantileRatio(over: readonly number[], under: readonly number[], q: number): Ratio {
  const ratios = Array.from({ length: RESAMPLES }, () => quantile(resample(over), q) / quantile(resample(under), q));
  return {
    value: quantile(over, q) / quantile(under, q),
    interval: [quantile(ratios, 0.025), quantile(ratios, 0.975)],
  };
}

/** The median of one sample over that of another; the interval by bootstrap. */
export const medianRatio = (over: readonly number[], under: readonly number[]): Ratio =>
  quantileRatio(over, under, 0.5);

/** Whether a ratio keeps below a limit; `undecided` where the noise is too large to tell. */
export type Verdict = 'met' | 'missed' | 'undecided';

export function verdict({ interval: [low, high] }: Ratio, limit: number): Verdict {
  if (high <= limit) return 'met';
  return low > limit ? 'missed' : 'undecided';
}

/** Whether a ratio reaches a limit. */
export function verdictAtLeast({ interval: [low, high] }: Ratio, limit: number): Verdict {
  if (low >= limit) return 'met';
  return high < limit ? 'missed' : 'undecided';
}

/** `×0.93 (95 %: 0.91–0.95)` */
export const ratioText = ({ value, interval: [low, high] }: Ratio): string =>
  `×${value.toFixed(2)} (95 %: ${low.toFixed(2)}–${high.toFixed(2)})`;

/** Three digits after the point at most. */
export const rounded = (value: number, digits = 3): number => Number(value.toFixed(digits));

/** A ratio with its interval, rounded. */
export const roundedRatio = ({ value, interval: [low, high] }: Ratio, digits = 2): Ratio => ({
  value: rounded(value, digits),
  interval: [rounded(low, digits), rounded(high, digits)],
});

export interface Point {
  readonly x: number;
  readonly y: number;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** The straight line that is nearest to the points, by least squares. */
export function line(points: readonly Point[]): { readonly perX: number; readonly at0: number } {
  const [x0, y0] = [mean(points.map(({ x }) => x)), mean(points.map(({ y }) => y))];
  const spread = points.reduce((sum, { x }) => sum + (x - x0) ** 2, 0);
  const perX = points.reduce((sum, { x, y }) => sum + (x - x0) * (y - y0), 0) / spread;
  return { perX, at0: y0 - perX * x0 };
}
