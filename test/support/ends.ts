import { after } from 'node:test';
import { duration, note } from '../cluster/progress.ts';

/**
 * Loaded into the process of every test file by the runner: a file that does not end fails and says what it waits for.
 * node:test's own time limit is for tests; what a failed test leaves open, a child or a connection, would keep the file's
 * process, and with it the whole run, for ever.
 */
const TESTS_LIMIT_MS = 20 * 60_000;
/** Between the first of the hooks behind all tests and the end: the others remove clusters. */
const END_LIMIT_MS = 5 * 60_000;

function endWithin(limitMs: number, what: string): void {
  const give = () => {
    const open = [...new Set(process.getActiveResourcesInfo())].join(', ');
    note(
      `${process.argv[1]} ${what} after ${duration(limitMs)}. Open: ${open}. What a test leaves open keeps its file.`,
    );
    process.exit(1);
  };
  setTimeout(give, limitMs).unref();
}

endWithin(TESTS_LIMIT_MS, 'has not ended');
after(() => endWithin(END_LIMIT_MS, 'has run all its tests and has not ended'));
