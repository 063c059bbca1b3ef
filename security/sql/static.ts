import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ALLOWED, ALLOWED_CALLS, type Allowed } from './allowed.ts';
import { type Insertion, insertions } from './source.ts';

const STORE = fileURLToPath(new URL('../../src/store', import.meta.url));

export interface SourceFile {
  /** Below src/store/. */
  readonly file: string;
  readonly found: readonly Insertion[];
}

export const storeSources = (): SourceFile[] =>
  globSync('**/*.ts', { cwd: STORE })
    .sort()
    .map((file) => ({ file, found: insertions(readFileSync(join(STORE, file), 'utf8')) }));

/** SQL that is built from something nobody answers for, and reasons that nothing needs any more; empty when none. */
export function sourceFindings(sources: readonly SourceFile[], allowed: readonly Allowed[] = ALLOWED): string[] {
  const unused = new Set(allowed.flatMap(({ file, expressions }) => expressions.map((it) => `${file}: ${it}`)));
  const unexplained = sources.flatMap(({ file, found }) =>
    found.flatMap(({ expression, line, after }) => {
      if (ALLOWED_CALLS.test(expression)) return [];
      const isAllowed = allowed.some((one) => one.file === file && one.expressions.includes(expression));
      unused.delete(`${file}: ${expression}`);
      return isAllowed ? [] : [`src/store/${file}:${line}: ${expression} becomes a part of SQL, after “${after}”`];
    }),
  );
  return [...unexplained, ...[...unused].map((one) => `security/sql/allowed.ts: ${one} is not there any more`)];
}
