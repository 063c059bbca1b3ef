import { note } from '../../test/cluster/progress.ts';
import { quantile } from '../statistics.ts';

/** One turn of one contestant: figures by name, `seconds` for example. */
export type Figures = Readonly<Record<string, number>>;

/**
 * Runs contestants in turns, A B then B A and so on, so that whatever happens on this machine meets all of them.
 * @param rounds how often each has its turn
 * @returns for each contestant its figures in the order of the rounds
 */
export async function interleaved<Name extends string, Result>(
  rounds: number,
  contestants: Readonly<Record<Name, (round: number) => Promise<Result>>>,
): Promise<Record<Name, Result[]>> {
  const names = Object.keys(contestants) as Name[];
  const results = Object.fromEntries(names.map((name) => [name, [] as Result[]])) as Record<Name, Result[]>;
  for (let round = 0; round < rounds; round += 1) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      note(`  round ${round + 1} of ${rounds}: ${name}`);
      results[name].push(await contestants[name](round));
    }
  }
  return results;
}

/** The median of each figure. */
export function medians(turns: readonly Figures[]): Record<string, number> {
  const names = [...new Set(turns.flatMap((turn) => Object.keys(turn)))];
  return Object.fromEntries(
    names.map((name) => [
      name,
      quantile(
        turns.flatMap((turn) => turn[name] ?? []),
        0.5,
      ),
    ]),
  );
}
