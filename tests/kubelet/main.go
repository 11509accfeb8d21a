// What a real kubelet says, for the tests that compare ours with it: JSON lines in, one answer line for each.
//
// A line is {"status": {...}} for the conditions and the QoS class of a pod, or {"log": {...}} for a reading of a log.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/cri-client/pkg/logs"
	corev1 "k8s.io/kubernetes/pkg/apis/core/v1"
	"k8s.io/kubernetes/pkg/apis/core/v1/helper/qos"
	kubecontainer "k8s.io/kubernetes/pkg/kubelet/container"
	"k8s.io/kubernetes/pkg/kubelet/status"
	kubetypes "k8s.io/kubernetes/pkg/kubelet/types"
)

type question struct {
	Status *podState
	Log    *reading
}

// podState is a pod at one moment. Pod has the conditions that the API server has; Old is what the kubelet said last;
// Sandbox says whether the pod's sandbox stands.
type podState struct {
	Pod     v1.Pod
	Old     v1.PodStatus
	New     v1.PodStatus
	Sandbox bool
}

// reading is of the log at Path, with v1.PodLogOptions' names; Since is in nanoseconds since the epoch.
type reading struct {
	Path       string
	Tail       *int64
	Limit      *int64
	Since      int64
	Timestamps bool
}

type verdict struct {
	Conditions []v1.PodCondition `json:"conditions"`
	QOSClass   v1.PodQOSClass    `json:"qosClass"`
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		answered, err := answer(line)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Printf("%s\n", answered)
	}
}

func answer(line []byte) ([]byte, error) {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		return nil, err
	}
	if asked.Log != nil {
		text, err := read(asked.Log)
		if err != nil {
			return nil, err
		}
		return json.Marshal(text)
	}
	return json.Marshal(judge(asked.Status))
}

// judge puts the conditions together as kubelet_pods.go's generateAPIPodStatus does.
func judge(state *podState) verdict {
	pod, phase := &state.Pod, state.New.Phase
	corev1.SetObjectDefaults_Pod(pod)
	statuses := append(state.New.InitContainerStatuses, state.New.ContainerStatuses...)
	var found []v1.PodCondition
	for _, condition := range pod.Status.Conditions {
		if !kubetypes.PodConditionByKubelet(condition.Type) {
			found = append(found, condition)
		}
	}
	found = append(found, status.GeneratePodReadyToStartContainersCondition(pod, &state.Old, sandbox(state.Sandbox)))
	found = append(found, status.GeneratePodInitializedCondition(pod, &state.Old, statuses, phase))
	found = append(found, status.GeneratePodReadyCondition(pod, &state.Old, found, statuses, phase))
	found = append(found, status.GenerateContainersReadyCondition(pod, &state.Old, statuses, phase))
	return verdict{found, qos.ComputePodQOS(pod)}
}

func sandbox(stands bool) *kubecontainer.PodStatus {
	if !stands {
		return &kubecontainer.PodStatus{}
	}
	ready := &runtimeapi.PodSandboxStatus{
		Metadata: &runtimeapi.PodSandboxMetadata{},
		State:    runtimeapi.PodSandboxState_SANDBOX_READY,
		Network:  &runtimeapi.PodSandboxNetworkStatus{Ip: "192.0.2.7"},
	}
	return &kubecontainer.PodStatus{SandboxStatuses: []*runtimeapi.PodSandboxStatus{ready}}
}

func read(asked *reading) ([]byte, error) {
	options := logs.LogOptions{TailLines: asked.Tail, LimitBytes: asked.Limit, Timestamp: asked.Timestamps}
	if asked.Since != 0 {
		options.Since = time.Unix(0, asked.Since)
	}
	var text bytes.Buffer
	err := logs.ReadLogs(context.Background(), asked.Path, "", &options, nil, &text, &text)
	return text.Bytes(), err
}
