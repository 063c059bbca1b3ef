import { openArchivist } from '../../src/store/archive.ts';

/** A store's whole history as lines that two runs of the same session have in common: without ids, times and xids. */
export async function historyLines(url: string): Promise<string[]> {
  const lines: string[] = [];
  const archivist = await openArchivist({ url, applicationName: 'faults' });
  await using _closed = { [Symbol.asyncDispose]: () => archivist.close() };
  await archivist.readArchive(async (archive) => {
    for (const { tenant, revision, contentHash, author, source, reason, idempotencyKey } of archive.platforms) {
      lines.push(['platform', tenant, revision, contentHash, author, source, reason, idempotencyKey].join(' '));
    }
    for await (const { job, removedAt, revisions } of archive.jobs) {
      const name = `${job.tenant}/${job.name}`;
      lines.push(`job ${name} ${removedAt === null ? 'wanted' : 'removed'}`);
      for (const { revision, content, contentHash, author, source, reason, idempotencyKey } of revisions) {
        lines.push([name, revision, content.kind, contentHash, author, source, reason, idempotencyKey].join(' '));
      }
    }
  });
  return lines.sort();
}

/** What one list has more often than another. */
export function surplus(of: readonly string[], over: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of over) counts.set(line, (counts.get(line) ?? 0) + 1);
  return of.filter((line) => {
    const left = counts.get(line) ?? 0;
    counts.set(line, left - 1);
    return left <= 0;
  });
}
