import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testDatabase } from '../../test/support/postgres.ts';
import { noFindings, type Options, type Outcome, type SecurityCheck } from '../check.ts';
import { Canaries } from './canaries.ts';
import { liveFindings, liveTexts } from './live.ts';
import { sceneFindings, scenes } from './scenes.ts';

async function run({ quick }: Options): Promise<Outcome> {
  const canaries = new Canaries();
  const chosen = scenes(quick);
  const findings: string[] = [];
  const folder = await mkdtemp(join(tmpdir(), 'bulkhead-secrets-'));
  try {
    await using database = await testDatabase();
    const around = { canaries, databaseUrl: database.url, folder };
    for (const scene of chosen) findings.push(...(await sceneFindings(scene, around)));
    // A real operator on a real cluster takes its time.
    if (!quick) findings.push(...liveFindings(await liveTexts({ canaries, folder }), canaries));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return noFindings(findings, {
    figure: `${canaries.count} canaries, ${chosen.length} failing commands${quick ? '' : ', a live operator'}; ${findings.length} findings`,
    limit: '0 canaries in anything that is said',
    detail: { scenes: chosen.map(({ what }) => what) },
  });
}

export const secrets: SecurityCheck = {
  row: '11',
  name: 'secrets',
  what: 'canary secrets are in no log, error, status, event, metric or table',
  run,
};
