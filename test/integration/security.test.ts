import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SECURITY_CHECKS } from '../../security/index.ts';
import { OPERATOR_ACCOUNT } from '../../security/rbac/index.ts';
import { resultLines, runCheck } from '../../security/run.ts';

/** What is promised about abuse, in sizes that fit into every run; `npm run security` shows it in full. */

for (const check of SECURITY_CHECKS) {
  test(`row ${check.row}, ${check.name}: ${check.what}`, async (t) => {
    const result = await runCheck(check, { quick: true, audit: [], user: OPERATOR_ACCOUNT });
    t.diagnostic(resultLines(result));
    assert.ok(result.passed, `${resultLines(result)}\n${JSON.stringify(result.detail, null, 2)}`);
  });
}
