import { stringify } from 'yaml';
import { printable } from '../job/problem.ts';

/** How results look. Data goes to stdout, everything said about them to stderr. */

export type OutputFormat = 'wide' | 'yaml' | 'json' | 'name';

const COLUMN_GAP = '   ';

/** Writes to stdout and waits while its reader is slow, so that a long stream never piles up in memory. */
export async function print(text: string): Promise<void> {
  if (process.stdout.write(text)) return;
  await new Promise<void>((resolve) => process.stdout.once('drain', resolve));
}

/** Says a sentence to the person; never part of the data. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/**
 * Columns as kubectl prints them, each line ended. What clusters and people wrote is made harmless for a terminal; an
 * empty cell is said as `<none>`, so that every line has as many words as the header.
 */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows].map((row) => row.map((cell) => (cell === '' ? '<none>' : printable(cell))));
  const widths = header.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) => `${joinPadded(line, widths)}\n`).join('');
}

/** Those lines of a table that `wanted` picks by the index of their row, without the header: they stay in its columns. */
export const rowsOf = (tableText: string, wanted: (row: number) => boolean): string =>
  tableText
    .split('\n')
    .slice(1, -1)
    .filter((_, row) => wanted(row))
    .map((line) => `${line}\n`)
    .join('');

const joinPadded = (cells: readonly string[], widths: readonly number[]): string =>
  cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join(COLUMN_GAP)
    .trimEnd();

/** `Key:  value` lines whose values stand in one column. */
export function fields(entries: readonly (readonly [key: string, value: string])[]): string {
  const width = Math.max(...entries.map(([key]) => key.length + 1));
  return entries.map(([key, value]) => `${`${key}:`.padEnd(width)}  ${printable(value)}\n`).join('');
}

export const indent = (text: string, by = '  '): string => text.replace(/^(?=.)/gm, by);

export const toJsonText = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/** Readable by YAML 1.1 and 1.2 alike. */
export const toYamlText = (value: unknown): string =>
  stringify(value, { aliasDuplicateObjects: false, compat: 'yaml-1.1', lineWidth: 0 });

const SECOND_MS = 1_000;
const [MINUTE, HOUR, DAY, YEAR] = [60, 3_600, 86_400, 31_536_000];

interface AgeRule {
  /** Seconds below which this rule speaks. */
  readonly below: number;
  readonly unit: readonly [seconds: number, letter: string];
  /** A second, smaller unit, where the first alone would be too coarse. */
  readonly rest?: readonly [seconds: number, letter: string];
}

/** The steps of kubectl (apimachinery's duration.HumanDuration): two units where one says too little. */
const AGE_RULES: readonly AgeRule[] = [
  { below: 2 * MINUTE, unit: [1, 's'] },
  { below: 10 * MINUTE, unit: [MINUTE, 'm'], rest: [1, 's'] },
  { below: 3 * HOUR, unit: [MINUTE, 'm'] },
  { below: 8 * HOUR, unit: [HOUR, 'h'], rest: [MINUTE, 'm'] },
  { below: 2 * DAY, unit: [HOUR, 'h'] },
  { below: 8 * DAY, unit: [DAY, 'd'], rest: [HOUR, 'h'] },
  { below: 2 * YEAR, unit: [DAY, 'd'] },
  { below: 8 * YEAR, unit: [YEAR, 'y'], rest: [DAY, 'd'] },
  { below: Number.POSITIVE_INFINITY, unit: [YEAR, 'y'] },
];

/** Time between two moments (milliseconds since 1970) in kubectl's short form; clocks that disagree give `0s`. */
export function age(since: number, now: number): string {
  const seconds = Math.max(0, Math.floor((now - since) / SECOND_MS));
  const rule = AGE_RULES.find(({ below }) => seconds < below);
  if (!rule) return '<unknown>';
  const [size, letter] = rule.unit;
  const whole = `${Math.floor(seconds / size)}${letter}`;
  if (!rule.rest) return whole;
  const rest = Math.floor((seconds % size) / rule.rest[0]);
  return rest === 0 ? whole : `${whole}${rest}${rule.rest[1]}`;
}

export const ageOf = (date: Date, now: number): string => age(date.getTime(), now);
