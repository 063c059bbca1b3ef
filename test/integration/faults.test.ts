import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { resultLines, runScenario, SAMPLED_AT_ONCE } from '../../faults/run.ts';
import type { Scenario } from '../../faults/scenario.ts';
import { Stage } from '../../faults/stage.ts';
import { STORE_SCENARIOS } from '../../faults/store/index.ts';

/** The faults of the store in the sizes that fit into every run; `npm run faults -- store` makes them in full. */

const stage = new Stage('sampled');
before(() => stage.cluster());
after(() => stage[Symbol.asyncDispose]());

function testOf(scenario: Scenario): void {
  test(`row ${scenario.row}, ${scenario.name}: ${scenario.what}`, async (t) => {
    const result = await runScenario(scenario, { size: 'sampled', stage });
    t.diagnostic(resultLines(result));
    assert.ok(result.passed, `${resultLines(result)}\n${JSON.stringify(result.detail, null, 2)}`);
  });
}

describe('at once', { concurrency: SAMPLED_AT_ONCE }, () => {
  for (const scenario of STORE_SCENARIOS) if (!scenario.alone) testOf(scenario);
});

describe('one by one', () => {
  for (const scenario of STORE_SCENARIOS) if (scenario.alone) testOf(scenario);
});
