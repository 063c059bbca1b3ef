package main

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var groupVersion = schema.GroupVersion{Group: "yardstick.dev", Version: "v1"}

// Cell is the goal of one cell; see crd.yaml. Its name is the job's id.
type Cell struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   CellSpec   `json:"spec"`
	Status CellStatus `json:"status,omitempty"`
}

type CellSpec struct {
	StoreID   string    `json:"storeId"`
	JobID     string    `json:"jobId"`
	Tenant    string    `json:"tenant"`
	Job       string    `json:"job"`
	Revision  int64     `json:"revision"`
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	Mark      string    `json:"mark"`
	Replicas  int32     `json:"replicas"`
	Image     string    `json:"image"`
	Env       []Env     `json:"env,omitempty"`
	Requests  Resources `json:"requests"`
	Limits    Resources `json:"limits"`
	Ports     []Port    `json:"ports,omitempty"`
}

type Env struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type Resources struct {
	CPU    string `json:"cpu"`
	Memory string `json:"memory"`
}

type Port struct {
	Name     string          `json:"name"`
	Port     int32           `json:"port"`
	Protocol corev1.Protocol `json:"protocol"`
}

type CellStatus struct {
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	Ready              bool  `json:"ready,omitempty"`
}

type CellList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Cell `json:"items"`
}

func (c *Cell) DeepCopy() *Cell {
	copied := *c
	c.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	copied.Spec.Env = slices.Clone(c.Spec.Env)
	copied.Spec.Ports = slices.Clone(c.Spec.Ports)
	return &copied
}

func (c *Cell) DeepCopyObject() runtime.Object { return c.DeepCopy() }

// DeepCopyInto is what the cache looks for when it hands out a copy.
func (c *Cell) DeepCopyInto(out *Cell) { *out = *c.DeepCopy() }

func (l *CellList) DeepCopyObject() runtime.Object {
	copied := *l
	l.ListMeta.DeepCopyInto(&copied.ListMeta)
	copied.Items = make([]Cell, len(l.Items))
	for i := range l.Items {
		copied.Items[i] = *l.Items[i].DeepCopy()
	}
	return &copied
}

func addCells(s *runtime.Scheme) error {
	s.AddKnownTypes(groupVersion, &Cell{}, &CellList{})
	metav1.AddToGroupVersion(s, groupVersion)
	return nil
}
