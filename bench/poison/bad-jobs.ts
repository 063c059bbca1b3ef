import { applyAll } from '../../faults/jobs.ts';
import type { Store } from '../../src/store/open.ts';
import { benchSpec } from '../lab/index.ts';
import { Every } from './every.ts';
import type { HoldingProxy } from './proxy.ts';
import type { Undoer } from './undoer.ts';

/**
 * Ways in which a job is bad. `refused`: the API server answers its Deployment with 422. `hung`: no call for its cell is
 * ever answered. `flapping`: its goal changes without end. `conflict`: somebody undoes each write of its Deployment.
 */
export const KINDS = ['refused', 'hung', 'flapping', 'conflict'] as const;
export type Kind = (typeof KINDS)[number];

/** The cluster's own policy refuses these: see {@link REFUSING_POLICY}. */
const REFUSED_REGISTRY = 'refused.example';
/** A goal of each flapping job changes this often; each is a rewrite of its cell. */
const FLAP_EVERY_MS = 10_000;

/** Bulkhead's schema takes nothing that a plain API server refuses, so it is a cluster's own rule that answers 422. */
export const REFUSING_POLICY = [
  {
    path: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies',
    body: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: { name: 'bench-refused-images' },
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          resourceRules: [
            { apiGroups: ['apps'], apiVersions: ['v1'], operations: ['CREATE', 'UPDATE'], resources: ['deployments'] },
          ],
        },
        validations: [
          {
            expression: `object.spec.template.spec.containers.all(c, !c.image.startsWith('${REFUSED_REGISTRY}/'))`,
            message: `images of ${REFUSED_REGISTRY} may not run here`,
          },
        ],
      },
    },
  },
  {
    path: '/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings',
    body: {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: { name: 'bench-refused-images' },
      spec: { policyName: 'bench-refused-images', validationActions: ['Deny'] },
    },
  },
];

export interface BadJobsDeps {
  readonly store: Store;
  readonly proxy: HoldingProxy;
  readonly undoer: Undoer;
  /** The namespace of a job's cell. */
  readonly namespaceOf: (name: string) => string;
  /** A number that was never given before: every goal differs from all others. */
  readonly next: () => number;
}

/** Jobs that can be made bad, and good again. */
export class BadJobs {
  readonly #deps: BadJobsDeps;
  readonly #jobs: ReadonlyMap<Kind, readonly string[]>;
  #flapping: Every | null = null;

  /** @param names shared out evenly among the kinds, in turns */
  constructor(deps: BadJobsDeps, names: readonly string[], kinds: readonly Kind[]) {
    this.#deps = deps;
    this.#jobs = new Map(kinds.map((kind, k) => [kind, names.filter((_, i) => i % kinds.length === k)]));
  }

  #of(kind: Kind): readonly string[] {
    return this.#jobs.get(kind) ?? [];
  }

  /** How many of each kind. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#jobs].map(([kind, names]) => [kind, names.length]));
  }

  /** All at once: the worst that can happen. */
  async turnBad(): Promise<void> {
    const { store, proxy, undoer, namespaceOf, next } = this.#deps;
    const [refused, hung, flapping, conflict] = KINDS.map((kind) => this.#of(kind)) as [
      readonly string[],
      readonly string[],
      readonly string[],
      readonly string[],
    ];
    const namespaces = new Set(hung.map(namespaceOf));
    proxy.hold((path) => namespaces.has(/\/namespaces\/([^/?]+)/.exec(path)?.[1] ?? ''));
    undoer.start(new Set(conflict.map(namespaceOf)));
    if (refused.length > 0) await applyAll(store, refused, benchSpec(`${REFUSED_REGISTRY}/app:${next()}`));
    if (hung.length > 0) await applyAll(store, hung, benchSpec(`app:${next()}`));
    if (conflict.length > 0) await applyAll(store, conflict, benchSpec(`app:${next()}`));
    if (flapping.length > 0) {
      let at = 0;
      this.#flapping = new Every(FLAP_EVERY_MS / flapping.length, async () => {
        at += 1;
        await applyAll(store, [flapping[at % flapping.length] ?? ''], benchSpec(`app:${next()}`));
      });
    }
  }

  async turnGood(): Promise<void> {
    const { store, proxy, undoer, next } = this.#deps;
    await this.#flapping?.stop();
    this.#flapping = null;
    undoer.stop();
    proxy.release();
    const ill = [...this.#of('refused'), ...this.#of('hung'), ...this.#of('conflict')];
    if (ill.length > 0) await applyAll(store, ill, benchSpec(`app:${next()}`));
  }
}
