import type { StoreArchive } from './archive.ts';
import { formatProblems, type Problem } from './problem.ts';

/** Why a text is no archive: `message` has one line for each problem, with its place. */
export class ArchiveError extends Error {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(formatProblems(problems));
    this.name = 'ArchiveError';
    this.problems = problems;
  }
}

/** An archive as YAML, piece by piece: a header, the platform's history, one document or more for each job, an end. */
export async function* archiveYaml(archive: StoreArchive): AsyncGenerator<string, void> {
  yield* [];
  throw new Error(`not yet: ${archive.storeId}`);
}

/**
 * Reads what {@link archiveYaml} wrote. The header and the platform are read at once, the jobs one by one as they are
 * asked for.
 * @param chunks text in pieces of any size
 * @param fileName what positions call the file
 * @throws ArchiveError here, and while jobs are read
 */
export async function readArchive(chunks: AsyncIterable<string>, fileName: string): Promise<StoreArchive> {
  for await (const _chunk of chunks) break;
  throw new Error(`not yet: ${fileName}`);
}
