import { quantile } from '../statistics.ts';

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Slope {
  readonly perX: number;
  readonly at0: number;
  /** In which the slope lies with 95 %. */
  readonly interval: readonly [number, number];
}

const RESAMPLES = 2_000;

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** The straight line that is nearest to the points, by least squares. */
export function line(points: readonly Point[]): { readonly perX: number; readonly at0: number } {
  const [x0, y0] = [mean(points.map(({ x }) => x)), mean(points.map(({ y }) => y))];
  const spread = points.reduce((sum, { x }) => sum + (x - x0) ** 2, 0);
  const perX = points.reduce((sum, { x, y }) => sum + (x - x0) * (y - y0), 0) / spread;
  return { perX, at0: y0 - perX * x0 };
}

/**
 * The slope of a series and how sure it is. What lies off the line is resampled in blocks of neighbours: samples of one
 * process's memory follow each other, and taken one by one they would pretend to know far more than they do.
 * @param block samples that belong together, one round of churn for example
 */
export function slope(points: readonly Point[], block: number): Slope {
  const fitted = line(points);
  const off = points.map(({ x, y }) => y - (fitted.at0 + fitted.perX * x));
  const size = Math.max(1, Math.min(block, Math.floor(points.length / 2)));
  const starts = points.length - size + 1;
  const slopes = Array.from({ length: RESAMPLES }, () => {
    const resampled: number[] = [];
    while (resampled.length < points.length) {
      const start = Math.floor(Math.random() * starts);
      resampled.push(...off.slice(start, start + size));
    }
    return line(points.map(({ x }, i) => ({ x, y: fitted.at0 + fitted.perX * x + (resampled[i] ?? 0) }))).perX;
  });
  return { ...fitted, interval: [quantile(slopes, 0.025), quantile(slopes, 0.975)] };
}
