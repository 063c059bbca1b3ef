import { line, type Point, quantile } from '../statistics.ts';

export interface Slope {
  readonly perX: number;
  readonly at0: number;
  /** In which the slope lies with 95 %. */
  readonly interval: readonly [number, number];
}

const RESAMPLES = 2_000;

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
