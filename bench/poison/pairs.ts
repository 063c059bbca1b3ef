import { quantile, type Ratio } from '../statistics.ts';

/** What was measured shortly one after the other, with and without whatever is looked at. */
export interface Pair {
  readonly over: readonly number[];
  readonly under: readonly number[];
}

const RESAMPLES = 2_000;

const ratioOf = (pairs: readonly Pair[], q: number): number =>
  quantile(
    pairs.flatMap(({ over }) => over),
    q,
  ) /
  quantile(
    pairs.flatMap(({ under }) => under),
    q,
  );

/**
 * The quantile of all that is over by that of all that is under. The interval is by bootstrap over whole pairs: what was
 * measured within one second has much in common, and one by one it would pretend to be surer than it is.
 */
export function pairedRatio(pairs: readonly Pair[], q: number): Ratio {
  const any = (): Pair => pairs[Math.floor(Math.random() * pairs.length)] ?? { over: [], under: [] };
  const ratios = Array.from({ length: RESAMPLES }, () =>
    ratioOf(
      pairs.map(() => any()),
      q,
    ),
  );
  return { value: ratioOf(pairs, q), interval: [quantile(ratios, 0.025), quantile(ratios, 0.975)] };
}
