import { join } from 'node:path';
import { attempt, type Finding } from '../demo/report.ts';
import { OPERATOR_ACCOUNT, rbac, USUAL_INSTALLATION } from '../security/rbac/index.ts';
import { bulkheadOn } from '../test/support/end-to-end.ts';
import { handScenes } from './scenes/hands.ts';
import { install } from './scenes/install.ts';
import { kubectlScene } from './scenes/kubectl.ts';
import { idleScene, lossScenes, upgradeScene } from './scenes/losses.ts';
import { keepAuditLog, ROOT, type Stage, setUp, tearDown } from './stage.ts';

export interface OperatorRun {
  readonly findings: readonly Finding[];
  /** Audit logs of all clusters of the run, for `npm run security -- rbac --audit …`. */
  readonly auditLogs: readonly string[];
}

export interface OperatorOptions {
  /** `sampled`: without the loss of the whole cluster, and a short silence: what `npm test` has time for. */
  readonly extent: 'full' | 'sampled';
  readonly tell: (finding: Finding) => void;
}

const IDLE_MS = 5 * 60_000;
const SAMPLED_IDLE_MS = 20_000;

/** A day in the life of the installed operator, from an empty cluster, with the database on this machine. */
export async function operatorRun({ extent, tell }: OperatorOptions): Promise<OperatorRun> {
  const isFull = extent === 'full';
  const stage = await setUp(join(ROOT, '.bulkhead/e2e-operator'), true);
  const findings: Finding[] = [];
  const add = (...more: readonly Finding[]) => {
    for (const finding of more) tell(finding);
    findings.push(...more);
  };
  try {
    add(await attempt('kubectl apply --server-side -f install.yaml is the whole install', () => install(stage)));
    add(...(await kubectlScene(stage)));
    add(...(await handScenes(stage)));
    add(await idleScene(stage, isFull ? IDLE_MS : SAMPLED_IDLE_MS));
    add(await upgradeScene(stage));
    add(...(await lossScenes(stage, isFull)));
    add(await uninstallScene(stage));
    await keepAuditLog(stage);
    add(await rightsScene(stage));
    return { findings, auditLogs: stage.auditLogs };
  } finally {
    await tearDown(stage);
  }
}

/** The dev overlay: Postgres in the cluster, nothing to prepare. */
export async function devRun({ tell }: Pick<OperatorOptions, 'tell'>): Promise<readonly Finding[]> {
  const stage = await setUp(join(ROOT, '.bulkhead/e2e-dev'), false);
  try {
    const findings = [
      await attempt('kubectl apply --server-side -f install-dev.yaml is the whole install', () => install(stage)),
      ...(await kubectlScene(stage)),
    ];
    for (const finding of findings) tell(finding);
    return findings;
  } finally {
    await tearDown(stage);
  }
}

/** From the audit logs of the whole run: what the operator asked for, against what the install grants. */
async function rightsScene({ auditLogs }: Stage): Promise<Finding> {
  return attempt('the operator used every right that it has, and asked for no other', async () => {
    const options = {
      quick: false,
      audit: auditLogs,
      user: OPERATOR_ACCOUNT,
      installation: USUAL_INSTALLATION,
    } as const;
    const { passed, figure, detail } = await rbac.run(options);
    if (!passed) throw new Error(JSON.stringify(detail.broken));
    return figure;
  });
}

async function uninstallScene(stage: Stage): Promise<Finding> {
  return attempt('bulkhead uninstall leaves nothing stuck', async () => {
    const bulkhead = bulkheadOn('postgres://nobody@127.0.0.1:1/none', stage.cluster);
    await bulkhead('uninstall', '--yes');
    const namespaces = await stage.kubectl('get', 'namespaces', '-o', 'name');
    const left = namespaces.split('\n').filter((name) => /namespace\/(bh-|bulkhead)/.test(name));
    if (left.length > 0) throw new Error(`${left.join(', ')} is left`);
    return 'no namespace, no StreamJob, no CRD is left; the goals are in Postgres';
  });
}
