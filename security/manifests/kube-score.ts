import { execa } from 'execa';
import { z } from 'zod';
import { KUBERNETES_VERSION } from '../../test/cluster/localkube.ts';
import { goProgram } from '../go-program.ts';

/**
 * Checks of kube-score that Bulkhead's manifests do not follow, each with its reason. This is the only place for them:
 * annotations in manifests count for nothing. One that is not needed any more is a finding.
 */
export const EXCEPTIONS: Readonly<Record<string, string>> = {
  'container-image-pull-policy':
    'IfNotPresent: tags say what is in an image and are never moved, and a restart must not depend on a registry',
  'container-resource-requests-equal-limits': 'sum of the three below',
  'container-cpu-requests-equal-limits':
    'an operator is idle at rest and busy after a restart: reserving its peak for ever would waste a core',
  'container-memory-requests-equal-limits': 'as with the processor: the limit is there for the worst hour',
  'container-ephemeral-storage-request-equals-limit': 'the limit is what the kubelet keeps of a log, seldom reached',
};

/** 10 is faultless, 7 nearly so, 5 a warning, 1 critical. */
const FAULTLESS = 10;

const scoreSchema = z.array(
  z.looseObject({
    object_name: z.string(),
    checks: z.array(
      z.looseObject({
        check: z.looseObject({ id: z.string() }),
        grade: z.number(),
        skipped: z.boolean(),
        comments: z.array(z.looseObject({ path: z.string(), summary: z.string() })).nullish(),
      }),
    ),
  }),
);

export interface Score {
  /** How many checks were made, on all objects together. */
  readonly checks: number;
  readonly findings: readonly string[];
  /** Exceptions that were made use of. */
  readonly excepted: readonly string[];
}

/** What kube-score says about the objects of a YAML text; also its optional checks are asked for. */
export async function kubeScore(yaml: string): Promise<Score> {
  const version = KUBERNETES_VERSION.split('.').slice(0, 2).join('.');
  const args = ['score', '--all-default-optional', '--disable-ignore-checks-annotations'];
  const options = ['--kubernetes-version', version, '--output-format', 'json', '-'];
  // It exits with 1 for findings too; without a report, what it says instead is the error.
  const program = await goProgram('kube-score');
  const { stdout, stderr } = await execa(program, [...args, ...options], { input: yaml, reject: false });
  if (!/^(\[|null)/.test(stdout)) throw new Error(`kube-score could not work: ${stderr}`);
  return judgeScore(JSON.parse(stdout));
}

/** @param report null where it knows none of the kinds */
export function judgeScore(report: unknown): Score {
  const made = (scoreSchema.nullable().parse(report) ?? [])
    .flatMap(({ object_name: object, checks }) => checks.map((check) => ({ object, ...check })))
    .filter(({ skipped }) => !skipped);
  const bad = made.filter(({ grade }) => grade < FAULTLESS);
  return {
    checks: made.length,
    excepted: [...new Set(bad.map(({ check }) => check.id))].filter((id) => id in EXCEPTIONS),
    findings: bad
      .filter(({ check }) => !(check.id in EXCEPTIONS))
      .flatMap(({ object, check, comments }) => {
        const said = (comments ?? []).map(({ path, summary }) => (path ? `${path}: ${summary}` : summary));
        return (said.length > 0 ? said : ['no comment']).map((text) => `${object}: ${check.id}: ${text}`);
      }),
  };
}
