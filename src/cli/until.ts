import { InvalidArgumentError } from 'commander';
import { duration } from './options.ts';

/** RFC 3339: a date, a time to the minute or finer, and a zone. */
const MOMENT = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?([Zz]|[+-]\d{2}:\d{2})$/;

/** When something ends: in milliseconds from now, at a moment, or never. */
export type Until = { readonly inMs: number } | { readonly at: Date } | 'never';

/** Reads `2h`, `2026-11-23T14:00:00Z` or `never`. @throws InvalidArgumentError */
export function until(text: string): Until {
  if (text === 'never') return text;
  if (/^\d{4}-/.test(text)) {
    const at = new Date(text);
    if (MOMENT.test(text) && !Number.isNaN(at.getTime())) return { at };
  } else {
    try {
      return { inMs: duration(text) };
    } catch {
      // Its words speak of durations only; ours below name all three forms.
    }
  }
  throw new InvalidArgumentError('Expected a time such as 2h, a moment such as 2026-11-23T14:00:00Z, or never.');
}

/** The moment; null for never. @param now milliseconds since 1970, by the clock that ends it */
export function momentOf(given: Until, now: number): Date | null {
  if (given === 'never') return null;
  return 'at' in given ? given.at : new Date(now + given.inMs);
}
