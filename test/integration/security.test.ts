import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Options } from '../../security/check.ts';
import { SECURITY_CHECKS } from '../../security/index.ts';
import { OPERATOR_ACCOUNT, USUAL_INSTALLATION } from '../../security/rbac/index.ts';
import { resultLines, runCheck } from '../../security/run.ts';

/** What is promised about abuse, in sizes that fit into every run; `npm run security` shows it in full. */

const OPTIONS: Options = { quick: true, audit: [], user: OPERATOR_ACCOUNT, installation: USUAL_INSTALLATION };

// The manifests' judges are two more Go programs to fetch and build: `npm run security -- manifests`, after a change of those.
for (const check of SECURITY_CHECKS.filter(({ name }) => name !== 'manifests')) {
  test(`row ${check.row}, ${check.name}: ${check.what}`, async (t) => {
    const result = await runCheck(check, OPTIONS);
    t.diagnostic(resultLines(result));
    assert.ok(result.passed, `${resultLines(result)}\n${JSON.stringify(result.detail, null, 2)}`);
  });
}
