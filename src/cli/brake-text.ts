import type { BrakeState } from '../ports/store.ts';
import { age, ageOf, fields } from './output.ts';
import { countOf, namesText } from './receipts.ts';

/** What the brake on removals holds back, for people and for programs. Pure. */

const RELEASE = 'let them go with: bulkhead brake release --reason …';

const removals = (count: number): string => `${count} ${count === 1 ? 'removal' : 'removals'}`;

const windowOf = ({ windowMs }: BrakeState): string => age(0, windowMs);

/** Room for removals that nobody waits for. */
export const roomOf = ({ budget, used, waiting }: BrakeState): number => Math.max(0, budget - used - waiting.length);

/** In one line, where it holds anything back. */
export const brakeLine = (state: BrakeState): string =>
  `holds back ${removals(state.waiting.length)} (${state.used} of ${state.budget} were let go within ${windowOf(state)}); ${RELEASE}`;

/** What `brake` prints. @param now milliseconds since 1970 */
export function brakeText(state: BrakeState, now: number): string {
  const { budget, used, waiting, lastRelease } = state;
  return fields([
    ['Budget', `${removals(budget)} within ${windowOf(state)} (5 % of all cells, at least 3)`],
    ['Used', `${used}, so ${Math.max(0, budget - used)} of them can go now`],
    ['Waiting', waiting.length === 0 ? 'none' : `${countOf(waiting)} (${namesText(waiting)}); ${RELEASE}`],
    [
      'Released',
      lastRelease === null
        ? 'never'
        : `${ageOf(lastRelease.at, now)} ago by ${lastRelease.author}: ${lastRelease.reason}`,
    ],
  ]);
}

export const brakeObject = (state: BrakeState): unknown => ({
  budget: state.budget,
  windowMs: state.windowMs,
  used: state.used,
  waiting: state.waiting.map(({ tenant, name, id }) => ({ tenant, name, id })),
  lastRelease: state.lastRelease && { ...state.lastRelease, at: state.lastRelease.at.toISOString() },
});

/** What a release does, as a question. */
export const releaseQuestion = (state: BrakeState): string =>
  `Let ${removals(state.waiting.length)} go beyond the budget of ${state.budget} within ${windowOf(state)} (${namesText(state.waiting)})? Their cells are deleted with everything in them.`;

/** How many of `count` removals go at once, and what holds the others. */
export function removalForecast(state: BrakeState, count: number): string {
  const now = Math.min(count, roomOf(state));
  if (now === count) return count === 1 ? 'The brake lets it go at once.' : `The brake lets all ${count} go at once.`;
  const rest = count - now;
  return `The brake lets ${now} go at once (${state.budget} within ${windowOf(state)}); ${rest} ${rest === 1 ? 'waits' : 'wait'} until there is room, or for: bulkhead brake release --reason …`;
}
