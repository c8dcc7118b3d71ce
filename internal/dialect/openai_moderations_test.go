package dialect

import "testing"

func TestModerations(t *testing.T) {
	testReadings(t, []reading{
		{OpenAI, "POST", "/v1/moderations", "", `{"id":"modr-1","model":"omni-moderation-latest","results":[
			{"flagged":true,"categories":{"violence":true,"illicit/violent":true,"sexual":false},"category_scores":{"violence":0.5,"illicit/violent":0.75,"sexual":0.9}},
			{"flagged":true,"categories":{"violence":true,"self-harm/intent":true,"harassment":true,"a b":true},"category_scores":{"violence":0.875}}]}`, `
id modr-1
model omni-moderation-latest
finding violence moderation/violence in 0.875
finding harmful moderation/illicit/violent in 0.75
finding self_harm moderation/self-harm/intent in 1
finding harmful moderation/harassment in 1`},
		{Mistral, "POST", "/v1/moderations", "", `{"id":"m","model":"mistral-moderation-latest","results":[{"categories":{"pii":true,"hate_and_discrimination":true,"law":false},"category_scores":{"pii":0.5,"hate_and_discrimination":0.25}}]}`, `
id m
model mistral-moderation-latest
finding personal_data moderation/pii in 0.5
finding hate moderation/hate_and_discrimination in 0.25`},
	})
}
