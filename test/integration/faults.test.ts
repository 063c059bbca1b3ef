import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { resultLines, runScenario } from '../../faults/run.ts';
import { Stage } from '../../faults/stage.ts';
import { STORE_SCENARIOS } from '../../faults/store/index.ts';

/** The faults of the store in the sizes that fit into every run; `npm run faults -- store` makes them in full. */

const stage = new Stage('sampled');
after(() => stage[Symbol.asyncDispose]());

for (const scenario of STORE_SCENARIOS) {
  test(`row ${scenario.row}, ${scenario.name}: ${scenario.what}`, async (t) => {
    const result = await runScenario(scenario, { size: 'sampled', stage });
    t.diagnostic(resultLines(result));
    assert.ok(result.passed, `${resultLines(result)}\n${JSON.stringify(result.detail, null, 2)}`);
  });
}
