import { API_VERSION, KIND, streamJobSchema } from '../job/spec.ts';
import type { Rule, Structural } from './openapi.ts';
import { statusSchema } from './status.ts';
import { structuralOf } from './structural.ts';

/** The CustomResourceDefinition `streamjobs.bulkhead.dev`, as an object. Pure: the same code gives the same text. */

const [GROUP = '', VERSION = ''] = API_VERSION.split('/');
const PLURAL = 'streamjobs';

const READY = '.status.conditions[?(@.type=="Ready")]';

interface Column {
  readonly name: string;
  readonly type: 'string' | 'integer' | 'date';
  readonly jsonPath: string;
  readonly description: string;
  /** 1: only with `-o wide`. */
  readonly priority?: 1;
}

const COLUMNS: readonly Column[] = [
  {
    name: 'Ready',
    type: 'string',
    jsonPath: `${READY}.status`,
    description: 'Whether all workers run the newest revision.',
  },
  { name: 'Phase', type: 'string', jsonPath: '.status.phase', description: 'The state of the job in one word.' },
  {
    name: 'Workers',
    type: 'string',
    jsonPath: '.status.workers',
    description: 'Ready workers, of those that should be.',
  },
  { name: 'Tier', type: 'string', jsonPath: '.status.tier', description: 'How isolated the cell is.' },
  { name: 'Revision', type: 'integer', jsonPath: '.status.revision', description: 'The newest revision of the goal.' },
  {
    name: 'Age',
    type: 'date',
    jsonPath: '.metadata.creationTimestamp',
    description: 'Since when the object is there.',
  },
  { name: 'Reason', type: 'string', jsonPath: `${READY}.reason`, description: 'Why it is Ready, or not.', priority: 1 },
  { name: 'Cell', type: 'string', jsonPath: '.status.cell', description: 'The namespace of the cell.', priority: 1 },
  {
    name: 'Restarts',
    type: 'integer',
    jsonPath: '.status.restarts',
    description: 'Restarts of the containers.',
    priority: 1,
  },
  {
    name: 'Message',
    type: 'string',
    jsonPath: `${READY}.message`,
    description: 'What is the matter, and what to do.',
    priority: 1,
  },
];

const { metadata, spec } = streamJobSchema.shape;

/** A name may be longer, and have dots, as far as Kubernetes is concerned. Metadata takes bounds but no rules. */
const {
  description: NAME,
  maxLength,
  'x-kubernetes-validations': nameRules = [],
} = structuralOf(metadata.shape.name, 'metadata.name');

/** A rule of the name, as one of the whole object, which is where Kubernetes takes it. */
const ruleOfName = ({ rule, message }: Rule): Rule => ({
  rule: rule.replaceAll('self.', 'self.metadata.name.'),
  message,
  fieldPath: '.metadata.name',
});

const schema: Structural = {
  description:
    'A stream job: what it should be, and what became of it. metadata.namespace is the tenant, metadata.name the job. Bulkhead keeps `spec` as a numbered revision of a goal in Postgres, which is the truth, gives the job an isolated cluster of its own, and reports in `status`.',
  type: 'object',
  required: ['spec'],
  properties: {
    apiVersion: { description: `Version of this definition: ${API_VERSION}.`, type: 'string' },
    kind: { description: `Kind of the object: ${KIND}.`, type: 'string' },
    metadata: {
      type: 'object',
      properties: { name: { description: NAME, type: 'string', maxLength } as Structural },
    },
    spec: structuralOf(spec, ''),
    status: statusSchema,
  },
  'x-kubernetes-validations': nameRules.map(ruleOfName),
};

/** The subresources: an own write path for the status, and replicas for `kubectl scale` and autoscalers. */
const subresources = {
  status: {},
  scale: {
    specReplicasPath: '.spec.workers.replicas',
    statusReplicasPath: '.status.replicas',
    labelSelectorPath: '.status.selector',
  },
};

export const STREAM_JOB_DEFINITION = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${PLURAL}.${GROUP}`, labels: { 'app.kubernetes.io/name': 'bulkhead' } },
  spec: {
    group: GROUP,
    scope: 'Namespaced',
    names: {
      kind: KIND,
      listKind: `${KIND}List`,
      plural: PLURAL,
      singular: KIND.toLowerCase(),
      shortNames: ['sj'],
      categories: ['all'],
    },
    versions: [
      {
        name: VERSION,
        served: true,
        storage: true,
        subresources,
        additionalPrinterColumns: COLUMNS,
        schema: { openAPIV3Schema: schema },
      },
    ],
  },
} as const;
