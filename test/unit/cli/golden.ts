import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';

/** Re-made by UPDATE_GOLDEN=1 npm test; read the difference before you commit it. */
export function matchesGolden(name: string, actual: string): void {
  const file = new URL(`../../golden/cli/${name}.txt`, import.meta.url);
  if (process.env.UPDATE_GOLDEN === '1') writeFileSync(file, actual);
  assert.equal(actual, readFileSync(file, 'utf8'));
}
