/** What the demo saw, line by line: each either held or did not. */
export interface Finding {
  readonly what: string;
  readonly seen: string;
  readonly held: boolean;
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/** A duration against its limit. */
export const withinLimit = (what: string, tookMs: number, limitMs: number): Finding => ({
  what,
  seen: `${seconds(tookMs)} (limit ${seconds(limitMs)})`,
  held: tookMs <= limitMs,
});

export const finding = (what: string, held: boolean, seen: string): Finding => ({ what, held, seen });

/** What `work` saw; an error, a time-out among them, is a finding that did not hold, and the demo goes on. */
export async function attempt(what: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return finding(what, true, await work());
  } catch (error) {
    return finding(what, false, error instanceof Error ? error.message : String(error));
  }
}

/** A table for people, as wide as its longest lines. */
export function table(findings: readonly Finding[]): string {
  const rows = [['', 'WHAT', 'SEEN'], ...findings.map((f) => [f.held ? 'ok' : 'FAILED', f.what, f.seen])];
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const widths = [width(0), width(1), width(2)];
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
